"""Whose turn it is among processes: a queue that is made of file locks, so that kill -9 of anybody in it moves it on.

Rule: it is about the order, not about safety. SQLite's own lock is what excludes, also for programs that do not know
this one; but SQLite's waiters sleep and try again, so under load the last of them waits for seconds.

Two locks make a turnstile. Whoever wants the turn stands in the gate until it has the turn, so whoever has just had it
cannot come back before the one in the gate has gone through. The kernel queues for each lock in order of arrival, and
frees both when their process dies.
"""

import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._fork import renew_in_children
from tocsin.guard._sleepers import Sleeper, SleepingTask, SleepingThread, is_woken
from tocsin.guard.stores.sqlite._lock_files import open_lock_file
from tocsin.guard.stores.sqlite._side_thread import SideThread

_NAMES = ("gate", "turn")
_AT_ONCE = LOCK_EX | LOCK_NB
# Longer than processes under load are ever without each other, and shorter than anybody notices.
_CONTENDED_S = 0.1


class ProcessTurn:
    """The turn of one process. Within it, only the holder of the process's own turn calls these.

    A lock of the kernel is waited for without end or not at all. So the wait is a helper thread's: who wants the turn
    waits for the helper, with a time limit. If nobody is left when the helper gets it, it is passed on at once; if
    another thread or task of this process wants it meanwhile, the process has kept its place.

    Args:
        path: the database file; the locks are on two empty files beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locks: _Locks | None = None
        self._handing = Lock()
        self._helper = SideThread("tocsin-turn")
        self._helper_waits = False
        self._wanted: Sleeper | None = None
        self._error: OSError | None = None
        self._contended_until = 0.0
        renew_in_children(self)

    @property
    def is_contended(self) -> bool:
        """Whether another process has had it, or has waited for it, within the last tenth of a second."""
        return self._contended_until > monotonic()

    def try_take(self) -> bool:
        """Take the turn if nobody has it and nobody waits for it. Raises OSError: the files cannot be locked."""
        locks = self._locks
        if locks is None:
            locks = self._locks = _Locks(self._path)
        if not self._helper_waits and locks.try_take():
            return True
        self._contended_until = monotonic() + _CONTENDED_S
        return False

    def take(self, deadline: float) -> None:
        """Wait for the turn.

        Args:
            deadline: until when, by the monotonic clock.

        Raises:
            StoreUnavailable: not until then.
            OSError: the files cannot be locked.
        """
        if self.try_take():
            return
        mine = SleepingThread()
        self._want(mine)
        try:
            mine.sleep(deadline - monotonic())
        except BaseException:
            self._renounce()
            raise
        self._learn()

    async def take_async(self, deadline: float) -> None:
        """Like `take`, for a task. A task that is cancelled has not taken it."""
        if self.try_take():
            return
        mine = SleepingTask()
        self._want(mine)
        try:
            await mine.sleep(deadline - monotonic())
        except BaseException:
            self._renounce()
            raise
        self._learn()

    def pass_on(self) -> None:
        """Let the next process have it."""
        if self._locks is not None:
            # While our helper stands in the gate, asking would open it: to the system its file is the same as ours.
            if not self._helper_waits and self._locks.are_awaited():
                self._contended_until = monotonic() + _CONTENDED_S
            self._locks.pass_on()

    def close(self) -> None:
        """Close the files."""
        with self._handing:
            self._helper.close()
            if not self._helper_waits and self._locks is not None:
                self._locks.close()
                self._locks = None

    def renew_after_fork(self) -> None:
        """Closing our copies of the files leaves the parent's locks alone; keeping them would outlive its death."""
        if self._locks is not None:
            self._locks.close()
        self._locks = None
        self._handing = Lock()
        self._helper_waits = False
        self._wanted = None

    def _want(self, mine: Sleeper) -> None:
        """Have the helper wait, unless it does already."""
        assert self._locks is not None, "it has been tried before it is waited for"
        with self._handing:
            if not self._helper_waits:
                self._helper.start(partial(self._help, self._locks))
                self._helper_waits = True
            self._wanted = mine

    def _renounce(self) -> None:
        """Whoever wanted the turn wants it no longer, and may have it already."""
        if self._is_handed():
            self.pass_on()

    def _learn(self) -> None:
        """Raises StoreUnavailable: the turn has not come in time."""
        if not self._is_handed():
            raise StoreUnavailable("other processes had the turn to write")

    def _is_handed(self) -> bool:
        """Whether the helper has handed the turn to the one that wanted it, who wants it no longer."""
        with self._handing:
            is_handed, self._wanted = self._wanted is None, None
            error, self._error = self._error, None
        if error is not None:
            raise error
        return is_handed

    def _help(self, locks: "_Locks") -> None:
        error: OSError | None = None
        try:
            locks.take()
        except OSError as raised:
            error = raised
        with self._handing:
            self._helper_waits = False
            wanted, self._wanted = self._wanted, None
            if wanted is not None and is_woken(wanted):
                self._error = error
            elif error is None:
                locks.pass_on()


class _Locks:
    """The two files, open."""

    def __init__(self, path: Path) -> None:
        self._files: list[int] = []
        for name in _NAMES:
            self._files.append(open_lock_file(path, name))
        self._gate, self._turn = self._files

    def try_take(self) -> bool:
        """Go through the gate and take the turn, if nobody is in the way."""
        gate = self._gate
        try:
            flock(gate, _AT_ONCE)
        except BlockingIOError:
            return False
        try:
            flock(self._turn, _AT_ONCE)
        except BlockingIOError:
            return False
        finally:
            flock(gate, LOCK_UN)
        return True

    def are_awaited(self) -> bool:
        """Of who has the turn: whether somebody stands in the gate."""
        try:
            flock(self._gate, _AT_ONCE)
        except BlockingIOError:
            return True
        flock(self._gate, LOCK_UN)
        return False

    def take(self) -> None:
        """Wait in the gate for the turn."""
        flock(self._gate, LOCK_EX)
        try:
            flock(self._turn, LOCK_EX)
        finally:
            flock(self._gate, LOCK_UN)

    def pass_on(self) -> None:
        """Let go of the turn."""
        flock(self._turn, LOCK_UN)

    def close(self) -> None:
        """Close the files; what is locked through other copies of them stays locked."""
        while self._files:
            os.close(self._files.pop())

    def __del__(self) -> None:
        self.close()
