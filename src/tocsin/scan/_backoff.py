"""How a scan goes on after void bursts, after a hit, and after a rate limiter. PURE.

Rule: whatever made a burst void may be our own haste, so that the next one is sent later, and held for longer.
"""

from typing import Final

from tocsin.scan._instants import unix_of
from tocsin.wire import Response

VOIDS_IN_A_ROW: Final = 12
REPEATS_OF_A_HIT: Final = 5
# Long enough for every server measured to have parked the prefixes; doubled after a void burst.
_HOLD_S = 0.03
_LONGEST_HOLD_S = 0.25
# A limiter that counts by the second has to forget the last burst.
_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
# How long a rate limiter is given before the same is tried again, if it does not say: most count by the second.
LIMITED_WAITS_S: Final = (0.4, 0.8, 1.6, 3.2)
# More digits than a wait of years has.
_MOST_DIGITS = 9


def hold_s(gentle: int) -> float:
    """How long a burst is held before its gate opens, in seconds, after so many void ones in a row."""
    return min(_HOLD_S * 2.0**gentle, _LONGEST_HOLD_S)


def pause_s(gentle: int) -> float:
    """How long to wait before the next one, in seconds."""
    return min(_PAUSE_S * 2.0**gentle, _LONGEST_PAUSE_S)


def limiter_wait_s(response: Response, usual_s: float, *, now_unix: float) -> float:
    """How long to wait before a request that a rate limiter turned away is sent again, in seconds.

    Args:
        response: the limiter's. Its Retry-After says how long, in seconds or as a date (RFC 9110 section 10.2.3).
        usual_s: what to take where it does not say, or says nothing that can be waited for.
        now_unix: when it came.
    """
    for value in response.values("Retry-After"):
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
            return float(text) or usual_s
        at = unix_of(text)
        return usual_s if at is None or at <= now_unix else at - now_unix
    return usual_s
