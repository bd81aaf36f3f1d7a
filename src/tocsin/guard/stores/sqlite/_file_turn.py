"""How a transaction begins: this process's turn at the file, the one connection that writes, and SQLite's own lock.

Rule: only who has the turn of its process calls these. A transaction that could not be begun leaves nothing taken: the
other processes go on.
"""

import asyncio
import sqlite3
from functools import partial
from pathlib import Path

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._fork import renew_in_children
from tocsin.guard._sleepers import SleepingTask, is_woken
from tocsin.guard._turn import Turn
from tocsin.guard.stores.sqlite._kept_writer import KeptWriter
from tocsin.guard.stores.sqlite._process_turn import ProcessTurn
from tocsin.guard.stores.sqlite._side_thread import SideThread
from tocsin.guard.stores.sqlite._writer import Writer

# What the others of a group need to be prepared. Meanwhile another process writes.
_FILLING_S = 0.002


class FileTurn:
    """Begins and ends the transactions of one process.

    Where processes compete, a task asks for the turn at the file only when as many as shared the last COMMIT are ready
    to share the next one: each of them that were prepared later would keep all processes waiting meanwhile.

    Args:
        path: the database file.
        kept: its connection.
        turn: of this process; whoever waits for it is ready.
        off_loop: the thread that waits in place of an event loop.
    """

    def __init__(self, path: Path, kept: KeptWriter, turn: Turn, off_loop: SideThread) -> None:
        self._path = path
        self._kept = kept
        self._turn = turn
        self._off_loop = off_loop
        self._process_turn = ProcessTurn(path)
        # Who has the turn of the process, and waits for the rest of its group.
        self._filling: SleepingTask | None = None
        self._last_kept = 0
        renew_in_children(self)

    def begin(self, deadline: float) -> Writer:
        """Wait for the other processes, and begin.

        Args:
            deadline: until when, by the monotonic clock.

        Raises:
            StoreUnavailable: not until then, or the file cannot be opened or locked.
        """
        try:
            writer = self._kept.opened()
            self._process_turn.take(deadline)
            writer.begin(deadline)
        except BaseException as error:
            self._give_up(error)
            raise
        return writer

    async def begin_async(self, deadline: float, *, is_alone: bool) -> Writer:
        """Like `begin`, for a task: it waits off the loop. A task that is cancelled has begun nothing.

        Args:
            deadline: see `begin`.
            is_alone: whether nobody may share the transaction.
        """
        if not is_alone and self._process_turn.is_contended and not self._is_group_ready(0):
            await self._rest_of_the_group()
        writer = self._begun_at_once()
        if writer is None and self._kept.writer is not None:
            writer = await self._begun_after_others(deadline)
        if writer is None:
            # The file has to be opened, or a program that does not use the guard is writing.
            writer = await self._off_loop.run(lambda: self.begin(deadline), if_forsaken=self.end)
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.end(writer)
                raise
        return writer

    def one_more_is_ready(self) -> None:
        """Another task is about to wait for the turn of the process."""
        filling = self._filling
        if filling is not None and self._is_group_ready(1):
            self._filling = None
            is_woken(filling)

    def end(self, writer: Writer, *, is_usable: bool = True, kept: int = 0) -> None:
        """The transaction is over, and rolled back if it was not committed: the next process may have the file.

        Args:
            writer: what was begun.
            is_usable: whether its connection may be used again.
            kept: how many requests were in the transaction.
        """
        self._last_kept = kept
        is_clean = False
        try:
            is_clean = is_usable and writer.is_rolled_back()
        finally:
            self._pass_on(is_usable=is_clean)

    def close(self) -> None:
        """Close the connection, and the files of the turn."""
        self._kept.close()
        self._process_turn.close()

    def renew_after_fork(self) -> None:
        """Who was waiting belongs to the parent."""
        self._filling = None

    def _begun_at_once(self, *, has_file: bool = False) -> Writer | None:
        """A transaction, if nothing of it takes any time.

        Args:
            has_file: whether it is this process's turn at the file; after None it is not.
        """
        try:
            writer = self._kept.current()
            if writer is None:
                if has_file:
                    self._process_turn.pass_on()
                return None
            if not has_file and not self._process_turn.try_take():
                return None
            if not writer.try_begin():
                self._process_turn.pass_on()
                return None
        except BaseException as error:
            self._give_up(error)
            raise
        return writer

    async def _begun_after_others(self, deadline: float) -> Writer | None:
        try:
            await self._process_turn.take_async(deadline)
        except BaseException as error:
            self._give_up(error)
            raise
        return self._begun_at_once(has_file=True)

    async def _rest_of_the_group(self) -> None:
        """Wait until as many as last time are ready, or do not come."""
        mine = self._filling = SleepingTask()
        alarm = mine.loop.call_later(_FILLING_S, partial(mine.end, woken=False))
        try:
            await mine.sleep(_FILLING_S)
        finally:
            self._filling = None
            alarm.cancel()

    def _is_group_ready(self, more: int) -> bool:
        return 1 + self._turn.waiting + more >= self._last_kept

    def _give_up(self, error: BaseException) -> None:
        """Nothing was begun. Raises StoreUnavailable: where the file or SQLite is the reason."""
        is_late = isinstance(error, StoreUnavailable | asyncio.CancelledError)
        self._pass_on(is_usable=is_late)
        if isinstance(error, OSError | sqlite3.Error):
            raise StoreUnavailable(f"{self._path} cannot be written: {error}") from error

    def _pass_on(self, *, is_usable: bool) -> None:
        try:
            if not is_usable:
                self._kept.close()
        finally:
            self._process_turn.pass_on()
