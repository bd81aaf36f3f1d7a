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


class Gate:
    """Shut by whoever begins a COMMIT, and opened when it has ended, or takes long.

    Those who wait are made ready together, and let through one by one in the order of their arrival, the next one when
    the one before it runs; whoever comes meanwhile stands behind them. Not all of them get into one transaction: as
    soon as its members shut the gate again, the rest stays here.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._is_shut = False
        self._times_shut = 0
        self._lines: dict[asyncio.AbstractEventLoop, deque[SleepingTask]] = {}
        renew_in_children(self)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits here."""
        return bool(self._lines)

    def is_on_its_way(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether somebody of that loop waits here, or has just been let through."""
        return loop in self._lines

    def is_free(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether nobody of that loop has to wait here."""
        return not self._is_shut and loop not in self._lines

    def shut(self) -> None:
        """Let nobody through."""
        self._times_shut += 1
        self._is_shut = True

    def open(self) -> None:
        """Let those who wait through."""
        with self._guard:
            self._is_shut = False
            loops = tuple(self._lines)
        for loop in loops:
            try:
                loop.call_soon_threadsafe(self._let_through, loop)
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
            line = self._lines.setdefault(mine.loop, deque())
            if not line:
                mine.loop.call_later(_PATIENCE_S, self._lose_patience, self._times_shut)
            line.append(mine)
        await mine.sleep(timeout_s)
        # The next one is ready to run; whether it goes through is decided as late as this.
        self._admit_first(mine.loop)

    def renew_after_fork(self) -> None:
        """The parent's COMMIT is not ours to wait for."""
        self._guard = Lock()
        self._is_shut = False
        self._lines = {}

    def _lose_patience(self, times_shut: int) -> None:
        if self._is_shut and self._times_shut == times_shut:
            self.open()

    def _let_through(self, loop: asyncio.AbstractEventLoop) -> None:
        """On that loop's thread."""
        with self._guard:
            line = self._lines.get(loop)
            if line is None or self._is_shut:
                return
            if not line:
                # The last of them have had a round of the loop to take the turn in.
                del self._lines[loop]
                return
            ready = list(islice(line, _AT_ONCE))
        for task in ready:
            task.rouse()
        self._admit_first(loop)
        loop.call_soon(self._let_through, loop)

    def _admit_first(self, loop: asyncio.AbstractEventLoop) -> None:
        """Whoever is first goes through, if the gate is still open."""
        with self._guard:
            line = self._lines.get(loop)
            first = line.popleft() if line and not self._is_shut else None
        if first is not None:
            first.end(woken=True)
