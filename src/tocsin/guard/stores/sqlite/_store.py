"""SQLiteStore: claims in the application's own database file.

Rule: whoever has begun a transaction holds SQLite's write lock, in all processes; so between the claim and COMMIT
nobody else changes anything, and what is read there is still true when it is committed.
"""

import sqlite3
from pathlib import Path
from threading import local

from tocsin.guard._errors import GuardError, StoreUnavailable, TransactionBroken
from tocsin.guard._fork import renew_in_children
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.sqlite import _claims
from tocsin.guard.stores.sqlite._readers import Readers
from tocsin.guard.stores.sqlite._schema import prepare
from tocsin.guard.stores.sqlite._transaction import RowFactory
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.stores.sqlite._write_turns import WriteTurns
from tocsin.guard.stores.sqlite._writer import OnConnect, primary_code

# What the file system or SQLite itself says, never the statement: the same request may succeed later.
_OWN_FAILURES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
# Sweeping and closing give way to requests.
_GIVE_WAY_S = 0.1

# What a forked child inherited and must not close: that could touch the parent's files.
_inherited: list[object] = []


class SQLiteStore:
    """Claims, answers and the application's tables in one SQLite file.

    The file is put into WAL mode, and the guard's tables are created in it when they are missing.

    Args:
        path: the database file. ":memory:" is refused: connections would not share it.
        row_factory: as in sqlite3, for the rows that handlers read: sqlite3.Row.
        on_connect: called with the connection that handlers write through: "PRAGMA foreign_keys = ON", functions.
        hold_s: a handler that holds the write lock for longer is named in the log.

    Raises:
        GuardError: the path is no file that connections can share.
        StoreUnavailable: the file cannot be opened, or stays in another journal mode.
    """

    declares = Declares(atomic=True, durable=True, cross_process=True)

    def __init__(
        self,
        path: str | Path,
        *,
        row_factory: RowFactory | None = None,
        on_connect: OnConnect | None = None,
        hold_s: float = 0.1,
    ) -> None:
        if str(path) in {"", ":memory:"} or str(path).startswith("file:"):
            raise GuardError(f"SQLiteStore({str(path)!r}): wanted the path of a database file")
        if sqlite3.threadsafety == 0:
            raise GuardError("this SQLite is built for one thread (SQLITE_THREADSAFE=0); wanted 1 or 2")
        self.path = Path(path).absolute()
        self.row_factory = row_factory
        self.hold_s = hold_s
        self._turns = WriteTurns(self.path, on_connect)
        self._readers = Readers(self.path)
        self._local = local()
        prepare(self.path, mode="rwc")
        renew_in_children(self)

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        try:
            with self._readers.borrow() as connection:
                return _claims.read(connection, key)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"{self.path} cannot be read: {error}") from error

    def is_inside(self) -> bool:
        """See Store."""
        return self._current() is not None

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store."""
        outer = self._current()
        if outer is not None:
            return self._nest(outer, claim)
        unit = Unit(self, self._turns.begin(wait_s), claim, None)
        return self._claimed(unit)

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return isinstance(error, sqlite3.Error) and primary_code(error) in _OWN_FAILURES

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        writer = self._turns.begin(_GIVE_WAY_S)
        is_usable = False
        try:
            changed = _claims.sweep(writer.connection, now_unix_ms)
            writer.commit()
            is_usable = True
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path} cannot be swept: {error}") from error
        finally:
            self._turns.end(is_usable=is_usable)
        return changed

    def close(self) -> None:
        """See Store."""
        self._turns.close(_GIVE_WAY_S)
        for connection in self._readers.drain():
            connection.close()

    def finish(self, unit: Unit, *, is_usable: bool) -> None:
        """Called by a unit when it has ended."""
        self._local.unit = unit.outer
        if unit.outer is None:
            self._turns.end(is_usable=is_usable)
            return
        unit.writer.authorizer.is_judging = True
        if not is_usable:
            unit.writer.authorizer.broke = "to go on after a nested operation that cannot be undone"

    def renew_after_fork(self) -> None:
        """See Renewable."""
        _inherited.extend((self._turns.disown(), self._readers.drain()))
        self._local = local()

    def _current(self) -> Unit | None:
        unit: Unit | None = getattr(self._local, "unit", None)
        return unit

    def _nest(self, outer: Unit, claim: Claim) -> Unit | Record | Forgotten:
        above: Unit | None = outer
        while above is not None:
            if above.claim.key == claim.key:
                raise GuardError(f"{claim.operation}: its handler called itself again under its own key")
            above = above.outer
        if not outer.writer.connection.in_transaction:
            # A savepoint would open a transaction of its own here, and commit it.
            raise TransactionBroken(f"{outer.claim.operation}: a statement of its handler rolled the transaction back")
        try:
            return self._claimed(Unit(self, outer.writer, claim, outer))
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path}: no savepoint: {error}") from error

    def _claimed(self, unit: Unit) -> Unit | Record | Forgotten:
        """The unit, its claim written; or what stands in the way, and then the unit is over."""
        self._local.unit = unit
        unit.writer.authorizer.is_judging = False
        try:
            taken = _claims.take(unit.writer.connection, unit.claim)
        except sqlite3.Error as error:
            unit.give_up()
            raise StoreUnavailable(f"{self.path}: the claim cannot be written: {error}") from error
        except BaseException:
            unit.give_up()
            raise
        if taken is not None:
            unit.abandon()
            return taken
        unit.writer.authorizer.is_judging = True
        return unit
