"""Whose turn it is to write: one thread at a time, in the order of arrival.

Rule: the turn is handed from thread to thread. A lock that is merely released goes to whoever is running, so under load
the last one waits for seconds; a queue has no last one.
"""

from collections import deque
from threading import Lock

from tocsin.guard._fork import renew_in_children


class Turn:
    """A fair mutex with a time limit; or, with several places, a fair semaphore.

    Args:
        places: how many may have the turn at once.
    """

    def __init__(self, places: int = 1) -> None:
        self._guard = Lock()
        self._queue: deque[Lock] = deque()
        self._places = places
        self._free = places
        renew_in_children(self)

    def take(self, timeout_s: float) -> bool:
        """Wait for the turn; False: not within that many seconds."""
        with self._guard:
            if self._free:
                self._free -= 1
                return True
            # Locked until somebody hands the turn to exactly this thread.
            mine = Lock()
            mine.acquire()
            self._queue.append(mine)
        try:
            handed = mine.acquire(timeout=max(timeout_s, 0))
        except BaseException:
            self._step_back(mine)
            raise
        return handed or not self._left_queue(mine)

    def pass_on(self) -> None:
        """Hand the turn to whoever has waited longest."""
        with self._guard:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1

    def renew_after_fork(self) -> None:
        """The thread that had the turn does not exist here."""
        self._guard = Lock()
        self._queue = deque()
        self._free = self._places

    def _left_queue(self, mine: Lock) -> bool:
        """Leave the queue; False: too late, the turn has been handed over in this very moment."""
        with self._guard:
            if mine in self._queue:
                self._queue.remove(mine)
                return True
            return False

    def _step_back(self, mine: Lock) -> None:
        if not self._left_queue(mine):
            self.pass_on()
