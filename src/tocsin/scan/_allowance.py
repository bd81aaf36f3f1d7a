"""What a run may still do: its seconds, its requests, its effects, and when it has to end. Edge: the clock.

Rule: a run takes no longer than its seconds. Only what brings the state back may come later, within a grace of its own.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Final

from tocsin.scan._errors import BudgetEnded, ended_by
from tocsin.scan._plan import Plan

_ANSWER_TIMEOUT_S = 10.0
# At the very end of a scan's seconds, an answer gets this long all the same.
_LEAST_TIMEOUT_S = 1.0
# For every [[teardown]] and the last [reset]: what ten slow requests take; a quarter of a long scan, which owes more.
LEAST_GRACE_S: Final = 5.0
_GRACE_SHARE: Final = 0.25


@dataclass(slots=True)
class Spent:
    """What a scan has used so far. Of what was sent and not read yet, or never, every request may be an effect."""

    requests: int = 0
    effects: int = 0
    unread: int = 0


@dataclass(slots=True, kw_only=True)
class Allowance:
    """The budget of one run.

    Args:
        plan: what is scanned.
        deadline: monotonic time at which the run's seconds are over.
        spent: what has been used.
        owed: how many requests are kept for the plan's [[teardown]].
        ended: what has ended the run from outside while a check had a hit: it concludes, and nothing more is sent.
    """

    plan: Plan
    deadline: float
    spent: Spent = field(default_factory=Spent)
    owed: int = 0
    ended: KeyboardInterrupt | None = None
    _winds_down: bool = field(default=False, init=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, init=False)

    def wait(self, seconds: float) -> None:
        """Let time pass, within the run's seconds."""
        time.sleep(max(0.0, min(seconds, self.deadline - time.monotonic())))

    def wait_in_full(self, seconds: float) -> None:
        """Let so much time pass. Raises BudgetEnded at once if the run has less: what follows would be too late."""
        if not self.has(seconds):
            raise BudgetEnded(self._is_over())
        time.sleep(seconds)

    def has(self, seconds: float) -> bool:
        """Whether so much time is left."""
        return time.monotonic() + seconds <= self.deadline

    @property
    def grace_s(self) -> float:
        """How much longer than its seconds a run may take to bring the state back."""
        return max(LEAST_GRACE_S, _GRACE_SHARE * self.plan.budget.seconds)

    def wind_down(self, within_s: float) -> None:
        """From now on the state is brought back: with the requests that were kept for it, and so many seconds more."""
        self.deadline = max(self.deadline, time.monotonic()) + within_s
        self._winds_down = True

    def reserve(self, effects: int) -> None:
        """Reserve what may happen before it can; reading what did happen gives back the rest. Raises BudgetEnded."""
        budget, spent = self.plan.budget.effects, self.spent
        if spent.effects + spent.unread + effects > budget:
            unread = f" and {spent.unread} that may have happened" if spent.unread else ""
            raise BudgetEnded(
                f"the budget of {budget} effects does not cover {effects} more, beside {spent.effects} that were "
                f"read{unread}"
            )
        spent.unread += effects

    def spend(self, requests: int = 1) -> None:
        """Count requests that are about to be sent. Raises BudgetEnded if they may not be."""
        budget = self.plan.budget
        if self.ended is not None and not self._winds_down:
            raise BudgetEnded(ended_by(self.ended))
        kept = 0 if self._winds_down else self.owed + (self.plan.reset is not None)
        with self._counting:
            if self.spent.requests + requests > budget.requests - kept:
                raise BudgetEnded(f"the budget of {budget.requests} requests is used up")
            if not self.has(0):
                raise BudgetEnded(self._is_over())
            self.spent.requests += requests

    def timeout_s(self) -> float:
        """How long an answer may take."""
        return min(_ANSWER_TIMEOUT_S, max(_LEAST_TIMEOUT_S, self.deadline - time.monotonic()))

    def _is_over(self) -> str:
        if self._winds_down:
            return f"the {self.grace_s:g} s for bringing the state back are over"
        return f"the budget of {self.plan.budget.seconds:g} s is used up"
