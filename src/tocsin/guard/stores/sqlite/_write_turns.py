"""Whose turn it is to write, and the one connection and the one open transaction that go round with it.

Rule: whoever has the turn passes it on, whatever happens to it. Only the turn goes round: each handler runs on the
thread or task that received its request, and the last one of a group commits for all of them.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from time import monotonic

from tocsin.guard._errors import CommitUnknown, StoreError, StoreUnavailable
from tocsin.guard._sleepers import Sleeper, SleepingTask, SleepingThread, wake_all
from tocsin.guard._turn import Turn
from tocsin.guard.stores.sqlite._file_turn import FileTurn
from tocsin.guard.stores.sqlite._gate import Gate
from tocsin.guard.stores.sqlite._group import Group
from tocsin.guard.stores.sqlite._kept_writer import KeptWriter
from tocsin.guard.stores.sqlite._side_thread import SideThread
from tocsin.guard.stores.sqlite._writer import OnConnect, Writer


class WriteTurns:
    """Threads and tasks of this process take turns on one connection; processes take turns on the file.

    A transaction that others wait for is left open for them when the turn is handed over, and they join its group. A
    task leaves it open for whomever its loop is about to run as well: then the turn is free, and the loop sees to
    COMMIT in its next round, or the last one does whom the gate has let through. An idle store knows none of this: its
    caller finds the turn free, begins and commits.

    Args:
        path: the database file.
        on_connect: see Writer.
    """

    def __init__(self, path: Path, on_connect: OnConnect | None) -> None:
        self.kept = KeptWriter(path, on_connect)
        self._path = path
        self._turn = Turn(given_back=self._given_back)
        self._off_loop = SideThread("tocsin-sqlite")
        self._file_turn = FileTurn(path, self.kept, self._turn, self._off_loop)
        self._gate = Gate()
        # Whose transaction is open. Only who has the turn looks here.
        self._group: Group | None = None
        self._is_busy = False

    def begin(self, wait_s: float, *, is_alone: bool) -> Group:
        """Wait for the turn, and join the open group or begin another one.

        Args:
            wait_s: how long to wait, in seconds.
            is_alone: whether nobody may share the transaction.

        Raises:
            StoreUnavailable: not within that many seconds, or the file cannot be opened or locked.
        """
        deadline = monotonic() + wait_s
        if not self._turn.take(wait_s):
            raise self._too_many(wait_s)
        group = self._group
        if group is not None:
            if not is_alone:
                return group
            self._make_way(group)
        try:
            writer = self._file_turn.begin(deadline)
        except BaseException:
            self._turn.pass_on()
            raise
        return self._begun(writer, is_alone=is_alone)

    async def begin_async(self, wait_s: float, *, is_alone: bool) -> Group:
        """Like `begin`, for a task: it waits off the loop. A task that is cancelled has begun nothing."""
        deadline = monotonic() + wait_s
        # Before anything is begun that only this thread can end.
        self._off_loop.ensure()
        self._file_turn.one_more_is_ready()
        if not self._turn.try_take() and not await self._turn.take_async(wait_s):
            raise self._too_many(wait_s)
        group = self._group
        if group is not None:
            if not is_alone:
                return group
            await self._off_loop.run(partial(self._make_way, group), if_forsaken=lambda _: self._turn.pass_on())
        try:
            writer = await self._file_turn.begin_async(deadline, is_alone=is_alone)
        except BaseException:
            self._turn.pass_on()
            raise
        return self._begun(writer, is_alone=is_alone)

    def keep(self, group: Group, wait_s: float) -> None:
        """A member has run, and its writes are to stay; returns when they are committed.

        Args:
            group: its group. The turn is passed on.
            wait_s: how long to wait for the other members, in seconds.

        Raises:
            StoreError: as Granted.settle.
        """
        group.kept += 1
        if group.is_open:
            mine = SleepingThread()
            if self._is_left_to_others(group, mine):
                group.learn(woken=mine.sleep(wait_s))
                return
        self._commit(group)
        if group.error is not None:
            raise group.error

    async def keep_async(self, group: Group, wait_s: float) -> None:
        """Like `keep`, for a task: COMMIT runs off the loop. A cancelled task is still told how it ended."""
        group.kept += 1
        if group.is_open:
            mine = SleepingTask()
            if not self._is_left_to_others(group, mine):
                self._leave_open(group, mine)
            group.learn(woken=await mine.sleep_on(wait_s))
            return
        group.is_ending = True
        self._gate.shut()
        await self._off_loop.run(partial(self._commit, group))
        if group.error is not None:
            raise group.error

    def drop(self, group: Group, savepoint: str | None, wait_s: float) -> None:
        """A member has run, and nothing of it is to stay; returns when all that it may have seen is committed.

        Raises:
            GroupBroken: it is not.
        """
        if self._is_undone(group, savepoint):
            self.keep(group, wait_s)

    async def drop_async(self, group: Group, savepoint: str | None, wait_s: float) -> None:
        """Like `drop`, for a task; one that was cancelled has no answer that would have to wait."""
        if not self._is_undone(group, savepoint):
            return
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            self._given_back()
        else:
            await self.keep_async(group, wait_s)

    def undo(self, group: Group, *, is_usable: bool = True) -> None:
        """Roll everything back, and pass the turn on.

        Args:
            group: the group.
            is_usable: whether its connection may be used again.

        Raises:
            GroupBroken: others were concerned.
        """
        if self._group is group:
            error = group.broken()
            self._end(group, error, is_usable=is_usable)
            if error is not None:
                raise error

    def ready(self, wait_s: float) -> Awaitable[None] | None:
        """Waits while a COMMIT is under way, for so many seconds at most: before it has ended there is no turn."""
        return None if self._gate.is_free(asyncio.get_running_loop()) else self._gate.pass_through(wait_s)

    @property
    def is_open(self) -> bool:
        """Of who has the turn: whether there is something that is not committed."""
        return self._group is not None

    def lend(self) -> sqlite3.Cursor | None:
        """A cursor of the connection, if nobody uses it, for one read; `take_back` has to follow.

        What it has written it needs not read again, which any other connection has to after each COMMIT. While
        `is_open` it may show what is not committed yet.

        Raises:
            OSError: there is no such file.
        """
        if not self._turn.try_take():
            return None
        writer: Writer | None = None
        try:
            # Which file an open transaction writes to has been asked when it was begun.
            writer = self.kept.current() if self._group is None else self._group.writer
        finally:
            if writer is None:
                self._turn.pass_on()
        return None if writer is None else writer.cursor

    def take_back(self) -> None:
        """Nobody uses it any more."""
        self._turn.pass_on()

    def close(self, wait_s: float) -> None:
        """Close the connection as soon as nobody uses it.

        Raises:
            StoreUnavailable: somebody does, for longer than that.
        """
        if not self._turn.take(wait_s):
            raise StoreUnavailable(f"{self._path} is in use; close it when no handler is running")
        if self._group is not None:
            self._make_way(self._group)
        try:
            self._file_turn.close()
            self._off_loop.close()
        finally:
            self._turn.pass_on()

    def rest(self, wait_s: float) -> bool:
        """Close the connection, and keep the turn: `take_back` has to follow. False: somebody uses it for longer."""
        if not self._turn.take(wait_s):
            return False
        if self._group is not None:
            self._make_way(self._group)
        try:
            self.kept.close()
        except BaseException:
            self._turn.pass_on()
            raise
        return True

    def disown(self) -> object:
        """In a forked child: forget the parent's connection; returns what must be kept from being closed."""
        self._group = None
        return self.kept.disown()

    def _begun(self, writer: Writer, *, is_alone: bool) -> Group:
        is_shared = not is_alone and (self._is_busy or self._turn.waiting > 0)
        group = self._group = Group(writer, is_shared=is_shared)
        return group

    def _is_left_to_others(self, group: Group, mine: Sleeper) -> bool:
        """Whether the turn was handed to another member, who sees to it that there is a COMMIT."""
        group.asleep.append(mine)
        if self._turn.hand_over():
            return True
        group.asleep.pop()
        return False

    def _leave_open(self, group: Group, mine: SleepingTask) -> None:
        """Nobody waits for the turn: COMMIT once the gate has let its last one through, or after this loop's round."""
        group.asleep.append(mine)
        if self._gate.has_let_through(mine.loop):
            self._commit_off_loop()
            return
        if not group.is_closing:
            group.is_closing = True
            mine.loop.call_soon(self._close, group)
        self._turn.pass_on()

    def _close(self, group: Group) -> None:
        """Everybody whom the loop had ready has run: COMMIT, as soon as nobody has the turn."""
        if group.is_ending or group.is_over:
            return
        self._turn.take_for(self._commit_off_loop)

    def _commit_off_loop(self) -> None:
        """Of who has the turn: COMMIT for those who sleep, of whichever group that is by now.

        The one that it was asked for may have ended otherwise, and whoever left the next one open has left it to this.
        """
        group = self._group
        if group is None:
            self._off_loop.start(self._turn.pass_on)
            return
        group.is_ending = True
        self._gate.shut()
        self._off_loop.start(partial(self._commit, group))

    def _is_undone(self, group: Group, savepoint: str | None) -> bool:
        """Undo what a member wrote; whether its group goes on without it."""
        if savepoint is not None and group.asleep and group.writer.is_undone(savepoint):
            return True
        self.undo(group)
        return False

    def _given_back(self) -> None:
        """Whoever has the turn can do nothing with it."""
        group = self._group
        if group is None:
            self._turn.pass_on()
        elif not self._turn.hand_over():
            # The others have run, and wait for a COMMIT that nobody else is left for.
            self._commit_off_loop()

    def _commit(self, group: Group) -> None:
        """COMMIT, and pass the turn on."""
        self._end(group, self._committed(group))

    def _make_way(self, group: Group) -> None:
        """COMMIT for those who sleep, and keep the turn."""
        self._conclude(group, self._committed(group))
        self._wake(group)

    def _committed(self, group: Group) -> StoreError | None:
        """COMMIT; why it failed, if it did. Where it is interrupted, the turn is passed on."""
        try:
            return group.commit()
        except BaseException:
            self._end(group, CommitUnknown("COMMIT was interrupted"))
            raise

    def _end(self, group: Group, error: StoreError | None, *, is_usable: bool = True) -> None:
        try:
            self._conclude(group, error, is_usable=is_usable)
        finally:
            self._turn.pass_on()
            self._wake(group)

    def _conclude(self, group: Group, error: StoreError | None, *, is_usable: bool = True) -> None:
        """The transaction is over; whatever is not committed is rolled back."""
        self._group = None
        self._is_busy = group.kept > 1 or self._gate.is_awaited
        group.error, group.is_over = error, True
        is_known = is_usable and not isinstance(error, CommitUnknown)
        self._file_turn.end(group.writer, is_usable=is_known, kept=group.kept)

    def _wake(self, group: Group) -> None:
        """Everybody whom the end of this transaction concerns, each event loop once."""
        if group.asleep:
            wake_all(group.asleep)
        self._gate.open(group.kept)

    def _too_many(self, wait_s: float) -> StoreUnavailable:
        return StoreUnavailable(f"{self._path}: other requests of this process wrote for {wait_s:.3g} s")
