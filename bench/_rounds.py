"""Ratios over interleaved rounds: each cell once a round, in random order, and every ratio within one round."""

from collections.abc import Sequence
from math import comb
from statistics import median

_COVERAGE = 0.95


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """The median of the rounds' ratios, and the interval that covers it with at least 95 %, from order statistics.

    With fewer than six rounds no such interval exists; then it is the whole range.
    """
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    cut = _cut(len(ratios))
    return {
        "median": round(median(ratios), 3),
        "low": round(ratios[cut], 3),
        "high": round(ratios[-1 - cut], 3),
        "rounds": len(ratios),
    }


def _cut(count: int) -> int:
    """How many of the smallest and of the largest values the 95 % interval of the median leaves out."""
    cut = 0
    while count - 2 * (cut + 1) > 0 and 1 - 2 * _tail(count, cut + 1) >= _COVERAGE:
        cut += 1
    return cut


def _tail(count: int, cut: int) -> float:
    """How likely the median lies below the value after the `cut` smallest: at most `cut` of the values below it."""
    return float(sum(comb(count, below) for below in range(cut + 1)) / 2**count)
