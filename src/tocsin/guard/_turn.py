"""Whose turn it is to write: one thread or task at a time, in the order of arrival.

Rule: the turn is handed from one to the next. A lock that is merely released goes to whoever is running, so under load
the last one waits for seconds; a queue has no last one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from threading import Lock

from tocsin.guard._fork import renew_in_children
from tocsin.guard._sleepers import Sleeper, SleepingTask, SleepingThread, runs_here


class Turn:
    """A fair mutex with a time limit; or, with several places, a fair semaphore.

    Args:
        places: how many may have the turn at once.
        given_back: called in place of `pass_on` when the turn was handed to somebody who was interrupted or cancelled
            at that moment, and who therefore cannot do what the turn asks for.
    """

    def __init__(self, places: int = 1, *, given_back: Callable[[], None] | None = None) -> None:
        self._guard = Lock()
        self._queue: deque[Sleeper | _Begins] = deque()
        self._places = places
        self._free = places
        self._given_back = self.pass_on if given_back is None else given_back
        renew_in_children(self)

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return len(self._queue)

    def take(self, timeout_s: float) -> bool:
        """Wait for the turn; False: not within that many seconds."""
        with self._guard:
            if self._free:
                self._free -= 1
                return True
            mine = SleepingThread()
            self._queue.append(mine)
        try:
            handed = mine.sleep(timeout_s)
        except BaseException:
            self._step_back(mine)
            raise
        return handed or not self._left_queue(mine)

    def try_take(self) -> bool:
        """Take the turn if nobody has it."""
        with self._guard:
            if not self._free:
                return False
            self._free -= 1
            return True

    def take_for(self, begin: Callable[[], object]) -> None:
        """Take the turn for something that is begun as soon as it comes, and that passes it on later.

        Args:
            begin: begins it, on whatever thread the turn comes from, and does nothing else there.
        """
        with self._guard:
            if not self._free:
                self._queue.append(_Begins(begin))
                return
            self._free -= 1
        begin()

    async def take_async(self, timeout_s: float) -> bool:
        """Like `take`, for a task. A task that is cancelled has not taken it."""
        with self._guard:
            if self._free:
                self._free -= 1
                return True
            mine = SleepingTask()
            self._queue.append(mine)
        try:
            handed = await mine.sleep(timeout_s)
        except BaseException:
            self._step_back(mine)
            raise
        return handed or not self._left_queue(mine)

    def hand_over(self) -> bool:
        """Hand the turn to whoever has waited longest; False: nobody waits, and the turn is still ours."""
        with self._guard:
            return self._handed_over()

    def pass_on(self) -> None:
        """Hand the turn to whoever has waited longest, or to whoever comes next."""
        with self._guard:
            if not self._handed_over():
                self._free += 1

    def renew_after_fork(self) -> None:
        """The thread that had the turn does not exist here."""
        self._guard = Lock()
        self._queue = deque()
        self._free = self._places

    def _handed_over(self) -> bool:
        while self._queue:
            handed = self._queue.popleft()
            try:
                handed.wake()
            except RuntimeError:
                # A task whose event loop was closed under it.
                continue
            if isinstance(handed, SleepingTask) and runs_here(handed.loop):
                self._rouse(handed.loop)
            return True
        return False

    def _rouse(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the other tasks of the loop ready, each once, in their order.

        If nobody before them has to wait for anything, the turn comes to each in the same round of the loop, which
        asks the system for news once for all of them.
        """
        ready: list[SleepingTask] = []
        for waiting in reversed(self._queue):
            if isinstance(waiting, SleepingTask) and waiting.loop is loop:
                if waiting.is_roused:
                    break
                ready.append(waiting)
        for task in reversed(ready):
            task.rouse()

    def _left_queue(self, mine: Sleeper) -> bool:
        """Leave the queue; False: too late, the turn has been handed over in this very moment."""
        with self._guard:
            if mine in self._queue:
                self._queue.remove(mine)
                return True
            return False

    def _step_back(self, mine: Sleeper) -> None:
        if not self._left_queue(mine):
            self._given_back()


class _Begins:
    """Waits for the turn without a thread or a task."""

    __slots__ = ("wake",)

    def __init__(self, begin: Callable[[], object]) -> None:
        self.wake = begin
