"""The one connection of a process that writes.

Rule: only this file begins, commits and rolls back. Its statements carry a random comment, because the sqlite3 module
keeps compiled statements by their text, and a handler's "COMMIT" must not find the guard's, already authorised.
"""

import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import TypeAlias

from tocsin.guard import _log
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard.stores.sqlite._authorizer import RESERVED, Authorizer
from tocsin.guard.stores.sqlite._checkpoints import LONGEST_LOG_PAGES, Checkpoints
from tocsin.guard.stores.sqlite._codes import primary_code
from tocsin.guard.stores.sqlite._schema import connect, make_durable

OnConnect: TypeAlias = Callable[[sqlite3.Connection], object]

# Between attempts to get the lock from another process. SQLite's own busy handler sleeps up to 100 ms; a transaction
# takes a fraction of one.
_FIRST_PAUSE_S = 0.0002
_LONGEST_PAUSE_S = 0.002
_OPEN_WAIT_S = 2.0


class Writer:
    """A connection in WAL mode with synchronous FULL, judged while a handler runs.

    Args:
        path: the database file.
        on_connect: the application's own set-up of the connection: pragmas, functions. If it says when the log is to be
            copied (PRAGMA wal_autocheckpoint), nobody else copies it.

    Attributes:
        connection: what handlers write through.
        authorizer: its judge.
        cursor: for the guard's own statements.
    """

    def __init__(self, path: Path, on_connect: OnConnect | None) -> None:
        self.connection = connect(path, mode="rw", busy_s=_OPEN_WAIT_S)
        # Of the guard's own statements: one that is made anew for each costs a fifth of what they cost. Before
        # on_connect, so that the rows here are tuples whatever they are in handlers.
        self.cursor = self.connection.cursor()
        self._checkpoints: Checkpoints | None = None
        try:
            self._set_up(path, on_connect)
        except BaseException:
            self.close()
            raise
        self.authorizer = Authorizer()
        self.connection.set_authorizer(self.authorizer)
        self._mark = secrets.token_hex(8)
        self._begin, self._commit, self._rollback = (
            f"{word} -- {self._mark}" for word in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        )
        self._depth = 0

    def try_begin(self) -> bool:
        """Get the write lock if nobody has it. Raises sqlite3.Error: something else is wrong."""
        self.authorizer.broke = ""
        self._depth = 0
        try:
            self.cursor.execute(self._begin)
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def begin(self, deadline: float) -> None:
        """Wait for the write lock.

        Only programs that do not use the guard can have it for long: those that do wait for their turn before.

        Args:
            deadline: until when to try, by the monotonic clock.

        Raises:
            StoreUnavailable: another process held it until then.
            sqlite3.Error: something else is wrong.
        """
        pause_s = _FIRST_PAUSE_S
        while not self.try_begin():
            left_s = deadline - monotonic()
            if left_s <= 0:
                raise StoreUnavailable("a program that does not use the guard holds the write lock")
            sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def commit(self) -> None:
        """COMMIT. Raises sqlite3.Error."""
        self.cursor.execute(self._commit)
        if self._checkpoints is not None:
            self._checkpoints.committed(self.connection.total_changes)

    def roll_back(self) -> None:
        """ROLLBACK, if there still is a transaction. Raises sqlite3.Error."""
        if self.connection.in_transaction:
            self.cursor.execute(self._rollback)

    def is_rolled_back(self) -> bool:
        """Whether nothing is left that is not committed; if not, only closing the connection undoes it."""
        try:
            self.roll_back()
        except sqlite3.Error as error:
            _log.store_notice("SQLite", f"the connection is given up because it cannot roll back: {error}")
            return False
        return True

    def close(self) -> None:
        """Close the connection, which undoes what it has not committed."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        # First, or SQLite keeps the connection, and its lock, for as long as the cursor keeps its last statement.
        self.cursor.close()
        self.connection.close()

    def disown(self) -> object:
        """In a forked child: let nothing that still holds this writer reach the parent's connection; returns that."""
        inherited = self.connection, self.cursor
        self.connection = sqlite3.connect(":memory:")
        self.cursor = self.connection.cursor()
        self.connection.close()
        return inherited

    def open_savepoint(self) -> str:
        """Open a savepoint; returns its name."""
        self._depth += 1
        name = f"{RESERVED}{self._mark}_{self._depth}"
        self._control(f"SAVEPOINT {name}")
        return name

    def release_savepoint(self, name: str) -> None:
        """Keep what was written since the savepoint was opened."""
        self._depth -= 1
        self._control(f"RELEASE {name}")

    def undo_savepoint(self, name: str) -> None:
        """Undo what was written since the savepoint was opened, unless the whole transaction has gone already."""
        self._depth -= 1
        if self.connection.in_transaction:
            self._control(f"ROLLBACK TO {name}")
            self._control(f"RELEASE {name}")

    def is_undone(self, name: str) -> bool:
        """Undo a savepoint; whether the transaction that it was in still stands."""
        try:
            self.undo_savepoint(name)
        except sqlite3.Error as error:
            _log.store_notice("SQLite", f"a transaction is given up because it cannot go back to a savepoint: {error}")
            return False
        return self.connection.in_transaction

    def _set_up(self, path: Path, on_connect: OnConnect | None) -> None:
        usual = self._asked("PRAGMA wal_autocheckpoint")
        if on_connect is not None:
            on_connect(self.connection)
        # After on_connect: nothing there takes the durability away that the store declares.
        if not self._asked("SELECT journal_mode = 'wal' FROM pragma_journal_mode"):
            raise GuardError(f"{path}: on_connect has changed the journal mode; wanted wal")
        make_durable(self.connection)
        if self._asked("PRAGMA wal_autocheckpoint") == usual:
            self.cursor.execute(f"PRAGMA wal_autocheckpoint = {LONGEST_LOG_PAGES}")
            self._checkpoints = Checkpoints(path)
        # The first read opens the log, for which another process that closes its last connection makes it wait.
        self._asked("SELECT count(*) FROM sqlite_master")
        # From here on begin() waits, and nothing else can have to: whoever has begun holds the only lock there is.
        self.cursor.execute("PRAGMA busy_timeout = 0")

    def _asked(self, sql: str) -> int:
        found: int = self.cursor.execute(sql).fetchone()[0]
        return found

    def _control(self, statement: str) -> None:
        authorizer = self.authorizer
        if not authorizer.is_judging:
            self.cursor.execute(statement)
            return
        authorizer.is_judging = False
        try:
            self.cursor.execute(statement)
        finally:
            authorizer.is_judging = True
