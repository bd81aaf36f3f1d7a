"""When a message that could not be delivered is sent again. PURE.

Rule: every wait is drawn from a range, so that messages that failed together do not come back together; and no receiver
can make one wait for longer than the longest step.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tocsin.outbox._errors import OutboxError
from tocsin.outbox._message import Sent

_MINUTE_S = 60
_HOUR_S = 3600
# The sample schedule of Standard Webhooks (spec, "Deliverability and reliability"): 10 sendings in 75 h 35 min.
STANDARD_S = (
    5,
    5 * _MINUTE_S,
    30 * _MINUTE_S,
    2 * _HOUR_S,
    5 * _HOUR_S,
    10 * _HOUR_S,
    14 * _HOUR_S,
    20 * _HOUR_S,
    24 * _HOUR_S,
)
_MOST_STEPS = 50
_LONGEST_S = 7 * 24 * _HOUR_S
# Each wait is drawn from the step less and plus this part of it.
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Retries:
    """The waits between sendings.

    Args:
        steps_s: in seconds, each at least 0. One sending more than there are steps; then the message is dead.
        draw: a number from 0 to 1, evenly distributed.

    Raises:
        OutboxError: too many steps, or one that is negative or longer than a week.
    """

    steps_s: tuple[float, ...]
    draw: Callable[[], float]

    def __post_init__(self) -> None:
        if len(self.steps_s) > _MOST_STEPS:
            raise OutboxError(f"retry_s has {len(self.steps_s)} steps; wanted at most {_MOST_STEPS}")
        for step in self.steps_s:
            if not 0 <= step <= _LONGEST_S:
                raise OutboxError(f"retry_s holds {step}; wanted seconds from 0 to {_LONGEST_S}")

    def used_up(self, failures: int) -> bool:
        """Whether so many failures leave no sending."""
        return failures > len(self.steps_s)

    def wait_s(self, failures: int, sent: Sent) -> float | None:
        """How long to wait after a sending that failed; None: the message is dead.

        Args:
            failures: how many had failed before.
            sent: how this one ended.
        """
        if sent.gone or self.used_up(failures + 1):
            return None
        step = self.steps_s[failures] * (1 - _JITTER + 2 * _JITTER * self.draw())
        return max(step, min(sent.not_before_s, max(self.steps_s)))
