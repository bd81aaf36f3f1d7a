"""SQLiteStore: claims in the application's own database file.

Rule: whoever has begun a transaction holds SQLite's write lock, in all processes; so between the claim and COMMIT
nobody else changes anything, and what is read there is still true when it is committed.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import get_ident
from time import monotonic

from tocsin.guard._errors import CommitUnknown, GroupBroken, GuardError, StoreUnavailable, TransactionBroken
from tocsin.guard._fork import renew_in_children, rest_at_forks
from tocsin.guard._nested import refuse_itself
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.sqlite import _claims
from tocsin.guard.stores.sqlite._codes import is_down
from tocsin.guard.stores.sqlite._group import Group
from tocsin.guard.stores.sqlite._member import Member
from tocsin.guard.stores.sqlite._readers import Readers
from tocsin.guard.stores.sqlite._schema import prepare
from tocsin.guard.stores.sqlite._transaction import RowFactory
from tocsin.guard.stores.sqlite._unit import Nested, Unit
from tocsin.guard.stores.sqlite._write_turns import WriteTurns
from tocsin.guard.stores.sqlite._writer import OnConnect

# The transaction that a claim was looked up in does not stand, or nobody knows whether it does, so what was found there
# may not be there. Alone, neither can happen.
_TAKEN_AGAIN = (GroupBroken, CommitUnknown)
# Sweeping, closing and forking give way to requests.
_GIVE_WAY_S = 0.1
# Far more than can be on their way back at once.
_MOST_ALONE = 10_000

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

    declares = Declares(atomic=True, durable=True, cross_process=True, ordered=True)

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
        self.turns = WriteTurns(self.path, on_connect)
        self._readers = Readers(self.path)
        # The innermost unit of each thread and of each task that has one.
        self._units: dict[object, Unit] = {}
        # The keys that are to be taken again in a transaction of their own.
        self._alone: dict[bytes, None] = {}
        # The thread that is forking, and has the turn meanwhile.
        self._forking: int | None = None
        prepare(self.path, mode="rwc")
        renew_in_children(self)
        rest_at_forks(self)

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        try:
            cursor = self.turns.lend()
            if cursor is not None:
                try:
                    found = _claims.read(cursor, key)
                    if found is None or not self.turns.is_open:
                        return found
                finally:
                    self.turns.take_back()
            return self._readers.read(key)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"{self.path} cannot be read: {error}") from error

    def is_inside(self) -> bool:
        """See Store."""
        return get_ident() in self._units

    def is_inside_async(self) -> bool:
        """See AsyncStore."""
        # Nobody is in most of the time, and then it need not be asked who is calling.
        return bool(self._units) and running_task() in self._units

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store."""
        outer = self._units.get(get_ident())
        if outer is not None:
            return self._nest(outer, claim, get_ident)
        deadline = monotonic() + wait_s
        is_alone = self._runs_alone(claim.key)
        while True:
            group = self.turns.begin(deadline - monotonic(), is_alone=is_alone)
            try:
                member = Member(self, group, claim, wait_s, get_ident)
                taken = self._claimed(member)
                if taken is not None:
                    # What was found is committed with the group, if it comes from there, or not at all.
                    member.abandon()
            except _TAKEN_AGAIN:
                is_alone = True
            else:
                return member if taken is None else taken

    async def look_async(self, key: bytes) -> Record | None:
        """See AsyncStore. Reading one row takes microseconds, and no writer makes it wait."""
        return self.look(key)

    async def take_async(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See AsyncStore."""
        outer = self._units.get(running_task()) if self._units else None
        if outer is not None:
            return self._nest(outer, claim, running_task)
        deadline = monotonic() + wait_s
        is_alone = self._runs_alone(claim.key)
        while True:
            group = await self.turns.begin_async(deadline - monotonic(), is_alone=is_alone)
            try:
                member = Member(self, group, claim, wait_s, running_task)
                taken = self._claimed(member)
                if taken is not None:
                    await member.abandon_async()
            except _TAKEN_AGAIN:
                is_alone = True
            else:
                return member if taken is None else taken

    def ready_async(self, wait_s: float) -> Awaitable[None] | None:
        """What a request should wait for before it prepares anything, for so many seconds at most; None: nothing."""
        return self.turns.ready(wait_s)

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return is_down(error)

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        group = self.turns.begin(_GIVE_WAY_S, is_alone=True)
        changed = self._swept(group, now_unix_ms)
        self.turns.keep(group, _GIVE_WAY_S)
        return changed

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See AsyncStore."""
        group = await self.turns.begin_async(_GIVE_WAY_S, is_alone=True)
        changed = self._swept(group, now_unix_ms)
        await self.turns.keep_async(group, _GIVE_WAY_S)
        return changed

    def _swept(self, group: Group, now_unix_ms: int) -> int:
        try:
            return _claims.sweep(group.writer.cursor, now_unix_ms)
        except BaseException as error:
            self.turns.undo(group, is_usable=False)
            if isinstance(error, sqlite3.Error):
                raise StoreUnavailable(f"{self.path} cannot be swept: {error}") from error
            raise

    def close(self) -> None:
        """See Store."""
        self.turns.close(_GIVE_WAY_S)
        self._close_readers()

    async def close_async(self) -> None:
        """See AsyncStore."""
        self.close()

    def enter(self, unit: Unit) -> None:
        """See Desk."""
        self._units[unit.owner] = unit

    def leave(self, unit: Unit) -> None:
        """See Desk."""
        if unit.outer is None:
            # A child that was forked while a handler ran has none.
            self._units.pop(unit.owner, None)
        else:
            self._units[unit.owner] = unit.outer

    def will_run_alone(self, key: bytes) -> None:
        """See MemberDesk. Not by thread or task: whoever runs it again may be another one."""
        if len(self._alone) == _MOST_ALONE:
            # Left behind by requests that did not come back. To forget one that does is no harm but a lost run.
            self._alone.pop(next(iter(self._alone)), None)
        self._alone[key] = None

    def before_fork(self) -> None:
        """See Resting. While a handler runs the file stays open, and a child cannot use it."""
        if self.turns.rest(0.0 if self._is_in_handler() else _GIVE_WAY_S):
            self._forking = get_ident()
            self._close_readers()

    def after_fork(self) -> None:
        """See Resting."""
        if self._forking == get_ident():
            self._forking = None
            self.turns.take_back()

    def renew_after_fork(self) -> None:
        """See Renewable."""
        self._forking = None
        _inherited.extend((self.turns.disown(), self._readers.drain()))
        self._units = {}

    def _close_readers(self) -> None:
        for connection in self._readers.drain():
            connection.close()

    def _is_in_handler(self) -> bool:
        """Whether the caller has the turn itself, so that it would wait for it in vain."""
        return self.is_inside() or self.is_inside_async()

    def _runs_alone(self, key: bytes) -> bool:
        """Whether the last group that this key was in was broken; once."""
        return bool(self._alone) and self._alone.pop(key, self) is None

    def _nest(self, outer: Unit, claim: Claim, who: Callable[[], object]) -> Unit | Record | Forgotten:
        refuse_itself(outer, claim)
        if not outer.writer.connection.in_transaction:
            # A savepoint would open a transaction of its own here, and commit it.
            raise TransactionBroken(f"{outer.claim.operation}: a statement of its handler rolled the transaction back")
        try:
            nested = Nested(self, claim, outer, who)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path}: no savepoint: {error}") from error
        taken = self._claimed(nested)
        if taken is not None:
            nested.abandon()
            return taken
        return nested

    def _claimed(self, unit: Unit) -> Record | Forgotten | None:
        """What stands in the claim's way; None: it is written."""
        try:
            unit.open_savepoint()
            return unit.write_claim()
        except BaseException as error:
            unit.give_up()
            if isinstance(error, sqlite3.Error):
                raise StoreUnavailable(f"{self.path}: the claim cannot be written: {error}") from error
            raise


def running_task() -> asyncio.Task[object] | None:
    """The task that is running on this thread's event loop; None: there is no loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
