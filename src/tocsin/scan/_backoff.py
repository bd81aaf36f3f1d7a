"""How bursts go on after void ones, and after a hit: what every race has in common. PURE.

Rule: whatever made a burst void may be our own haste, so that the next one is sent later, and held for longer.
"""

from typing import Final

VOIDS_IN_A_ROW: Final = 12
REPEATS_OF_A_HIT: Final = 5
# Long enough for every server measured to have parked the prefixes; doubled after a void burst.
_HOLD_S = 0.03
_LONGEST_HOLD_S = 0.25
# A limiter that counts by the second has to forget the last burst.
_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5


def hold_s(gentle: int) -> float:
    """How long a burst is held before its gate opens, in seconds, after so many void ones in a row."""
    return min(_HOLD_S * 2.0**gentle, _LONGEST_HOLD_S)


def pause_s(gentle: int) -> float:
    """How long to wait before the next one, in seconds."""
    return min(_PAUSE_S * 2.0**gentle, _LONGEST_PAUSE_S)
