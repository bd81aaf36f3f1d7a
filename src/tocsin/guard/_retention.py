"""How long answers and claims are kept. PURE.

Rule: a claim outlives every moment at which its message can still arrive and verify. Where no signed timestamp bounds
that, or where nobody has published how long the sender retries, it is kept for ever; what is forgotten takes effect
again.
"""

import math

from tocsin.guard._errors import GuardError
from tocsin.guard._keys import BodyDigest, KeyRule
from tocsin.guard._store import Record
from tocsin.signing import MessageId, Scheme

ANSWER_DAYS = 7.0
FOREVER = math.inf

_DAY_S = 86_400.0


def least_claim_days(scheme: Scheme) -> float:
    """The shortest time for which claims of a scheme may be kept, in days.

    The longest of the sender's retries and both tolerances together, plus a day for clocks that disagree.
    """
    tolerated_s = scheme.tolerance_past_s + scheme.tolerance_future_s if scheme.covers("timestamp") else 0.0
    return max(scheme.retry_horizon_s or 0.0, tolerated_s) / _DAY_S + 1


def default_claim_days(rule: KeyRule, scheme: Scheme) -> float:
    """How long claims are kept where the developer has not said.

    For ever, where the developer chose the key (a business id has no age at which it may take effect again), where no
    timestamp is signed, and where nobody says for how long the sender retries.
    """
    if isinstance(rule, BodyDigest):
        return rule.days
    bounded = isinstance(rule, MessageId) and scheme.covers("timestamp") and scheme.retry_horizon_s is not None
    return least_claim_days(scheme) if bounded else FOREVER


def checked_claim_days(days: float, scheme: Scheme) -> float:
    """The developer's own number, if it is long enough.

    Raises:
        GuardError: a message could outlive its claim and take effect again.
    """
    least = least_claim_days(scheme)
    if not days >= least:
        raise GuardError(
            f"claim_days = {days:g}: a message of the scheme {scheme.name!r} can arrive again for {least:g} days; "
            f"wanted is at least that, or tocsin.guard.FOREVER"
        )
    return days


def checked_answer_days(days: float | None) -> float:
    """The developer's own number, if it is one; ANSWER_DAYS if there is none.

    Raises:
        GuardError: it is not a positive number.
    """
    if days is None:
        return ANSWER_DAYS
    if not days > 0:
        raise GuardError(f"answer_days = {days:g}; wanted is a positive number of days, such as {ANSWER_DAYS:g}")
    return days


def until_unix_ms(now_unix_ms: int, days: float) -> int | None:
    """The moment so many days from now, in milliseconds; None: never."""
    return None if math.isinf(days) else now_unix_ms + round(days * _DAY_S * 1000)


def is_forgettable(record: Record, now_unix_ms: int) -> bool:
    """Whether a claim has had its time. One without an answer never has: nobody knows what its sender was told."""
    return record.status is not None and _is_over(record.claim_until_unix_ms, now_unix_ms)


def is_tombstone(record: Record, now_unix_ms: int) -> bool:
    """Whether only key and status are left of a claim, or may be."""
    return record.headers is None or record.body is None or _is_over(record.answer_until_unix_ms, now_unix_ms)


def _is_over(until_unix_ms: int | None, now_unix_ms: int) -> bool:
    return until_unix_ms is not None and until_unix_ms <= now_unix_ms
