"""What a number of clean trials is worth. PURE.

Rule: zero hits in n independent trials excludes, at 95 %, every probability per trial above 1 - 0.05^(1/n): such a
probability would have shown at least once in 95 of 100 scans (Clopper-Pearson, one-sided, zero successes).
"""

import math
from collections.abc import Sequence

CONFIDENCE = 0.95
# 150 clean bursts bound the probability per burst at 2.0 % (checks.md, "Clean bound").
WANTED_IDENTICAL_BURSTS = 150


def upper_limit(clean_trials: int) -> float:
    """The 95 % upper limit of the probability per trial after that many clean ones; 1.0 after none."""
    if clean_trials < 1:
        return 1.0
    return float(1 - (1 - CONFIDENCE) ** (1 / clean_trials))


def scan_wide(clean_trials: Sequence[int]) -> str:
    """One statement over all clean bounds of a scan: the 5 % of doubt are divided among them (Bonferroni).

    Args:
        clean_trials: of each check or variant with a bound on a probability.
    """
    if len(clean_trials) < 2:  # noqa: PLR2004  one bound is its own statement
        return ""
    least = min(clean_trials)
    doubt = (1 - CONFIDENCE) / len(clean_trials)
    limit = math.ceil((1 - doubt ** (1 / least)) * 1000) / 10
    return (
        f"All {len(clean_trials)} clean bounds together, at 95 %: no probability per burst is above {limit:.1f} % "
        f"(each at {100 * (1 - doubt):.2f} %; the weakest has {least} bursts)"
    )


def is_even(first: int, of: int, *, alpha: float) -> bool:
    """Whether so many of so many fit a fair coin, by the exact two-sided binomial test at level `alpha`."""
    tail = sum(math.comb(of, count) for count in range(max(first, of - first), of + 1))
    # Compared as whole numbers: 2 to the power of that many does not fit a float.
    return 2 * tail * math.ceil(1 / alpha) > 1 << of
