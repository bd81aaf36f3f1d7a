"""Where tasks wait while a COMMIT is under way, before they have prepared anything.

Rule: it decides nothing. Whoever comes through still has to take the turn; it is only that a request holds a hundred
objects less here than where it takes it, inside of its framework.
"""

import asyncio
from collections import deque
from itertools import islice
from threading import Lock

from tocsin.guard._fork import renew_in_children
from tocsin.guard._sleepers import SleepingTask

# On a slow disk a COMMIT takes longer, and the event loop would have nothing to do: what it prepares meanwhile costs
# nobody any time. Nor does a duplicate wait for longer. Not less: whoever is let through too early waits inside of its
# framework, and of 64 such the garbage collector makes more work than the loop would have done.
_PATIENCE_S = 0.005
# How many are made ready for one round of their event loop: as many as one transaction takes. Fewer would share its few
# milliseconds with whatever else the loop does in between.
_AT_ONCE = 64


class _Line:
    """Who waits, of one event loop.

    Attributes:
        waiting: in the order of arrival.
        ready: how many of them are made ready in this round of the loop, and have not run yet.
        timed: when somebody last came who will lose patience, as a number of times shut.
    """

    __slots__ = ("ready", "timed", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[SleepingTask] = deque()
        self.ready = self.timed = 0


class Gate:
    """Shut by whoever begins a COMMIT, and opened when it has ended, or takes long.

    Those who wait are made ready together, and let through one by one in the order of their arrival, the next one when
    the one before it runs; whoever comes meanwhile stands behind them. They are half of all that are about, no more:
    while those commit, the loop prepares the other half, and neither waits for the other.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._is_shut = False
        self._times_shut = 0
        self._lines: dict[asyncio.AbstractEventLoop, _Line] = {}
        renew_in_children(self)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits here."""
        return bool(self._lines)

    def has_let_through(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether all who are to go through in this round of that loop have, and whoever comes next has to wait."""
        line = self._lines.get(loop)
        return line is not None and not line.ready

    def is_free(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether nobody of that loop has to wait here."""
        return not self._is_shut and loop not in self._lines

    def shut(self) -> None:
        """Let nobody through."""
        self._times_shut += 1
        self._is_shut = True

    def open(self, ended: int = _AT_ONCE) -> None:
        """Let those who wait through.

        Args:
            ended: how many were in the transaction that has ended, and will be back.
        """
        with self._guard:
            self._is_shut = False
            loops = tuple(self._lines)
        for loop in loops:
            try:
                loop.call_soon_threadsafe(self._let_through, loop, ended)
            except RuntimeError:
                # It was closed, with tasks in it that nobody will ever run.
                with self._guard:
                    del self._lines[loop]

    async def pass_through(self, timeout_s: float) -> None:
        """Wait until it is open, for so many seconds at most."""
        mine = SleepingTask()
        with self._guard:
            if self.is_free(mine.loop):
                return
            line = self._lines.setdefault(mine.loop, _Line())
            if line.timed != self._times_shut:
                line.timed = self._times_shut
                mine.loop.call_later(_PATIENCE_S, self._lose_patience, line.timed)
            line.waiting.append(mine)
        if await mine.sleep(timeout_s):
            # The next one is ready to run; whether it goes through is decided as late as this.
            line.ready = max(0, line.ready - 1)
            self._admit_first(mine.loop)

    def renew_after_fork(self) -> None:
        """The parent's COMMIT is not ours to wait for."""
        self._guard = Lock()
        self._is_shut = False
        self._lines = {}

    def _lose_patience(self, times_shut: int) -> None:
        if self._is_shut and self._times_shut == times_shut:
            self.open()

    def _let_through(self, loop: asyncio.AbstractEventLoop, ended: int) -> None:
        """On that loop's thread."""
        with self._guard:
            line = self._lines.get(loop)
            if line is None or self._is_shut:
                return
            waiting = line.waiting
            if not waiting:
                # The last of them have had a round of the loop to take the turn in.
                del self._lines[loop]
                return
            line.ready = min((len(waiting) + ended + 1) // 2, len(waiting), _AT_ONCE)
            ready = list(islice(waiting, line.ready))
        for task in ready:
            task.rouse()
        self._admit_first(loop)
        # When they have run: by then they have shut the gate, unless none of them had anything to commit.
        loop.call_soon(self._let_through, loop, _AT_ONCE)

    def _admit_first(self, loop: asyncio.AbstractEventLoop) -> None:
        """Whoever is first goes through, if the gate is still open."""
        with self._guard:
            line = self._lines.get(loop)
            if line is None or not line.ready:
                return
            if self._is_shut:
                line.ready = 0
            first = line.waiting.popleft() if line.ready and line.waiting else None
        if first is not None:
            first.end(woken=True)
