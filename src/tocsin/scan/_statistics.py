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


def scan_wide_limit(clean_trials: Sequence[int], asked: int) -> float:
    """The 95 % upper limit of all probabilities per trial together (Bonferroni).

    The 5 % of doubt are divided by how many bounds were asked for, not by how many came out clean: which those are is
    chance as well, and of nine races near the limit that could stay unseen, one that does is the one that is stated
    (bench/coverage_simulation.py: then up to one statement in five would be wrong).

    Args:
        clean_trials: of each check or variant with a clean bound; at least one.
        asked: how many bounds there would be if all were clean; at least as many.
    """
    return float(1 - ((1 - CONFIDENCE) / asked) ** (1 / min(clean_trials)))


def scan_wide(clean_trials: Sequence[int], asked: int) -> str:
    """One statement over all clean bounds of a scan, or "" where one bound was asked for, or none is clean.

    Args:
        clean_trials: see `scan_wide_limit`; may be empty.
        asked: see there.
    """
    if asked < 2 or not clean_trials:  # noqa: PLR2004  one bound is its own statement
        return ""
    clean = len(clean_trials)
    which = "The only clean bound" if clean == 1 else f"All {clean} clean bounds together"
    of_all = f" of {asked} that were asked for" if asked > clean else ""
    limit = math.ceil(scan_wide_limit(clean_trials, asked) * 1000) / 10
    return (
        f"{which}{of_all}, at 95 %: no probability per burst is above {limit:.1f} % "
        f"(each at {100 - 100 * (1 - CONFIDENCE) / asked:.2f} %; the weakest has {min(clean_trials)} bursts)"
    )


def is_even(first: int, of: int, *, alpha: float) -> bool:
    """Whether so many of so many fit a fair coin, by the exact two-sided binomial test at level `alpha`."""
    tail = sum(math.comb(of, count) for count in range(max(first, of - first), of + 1))
    # Compared as whole numbers: 2 to the power of that many does not fit a float.
    return 2 * tail * math.ceil(1 / alpha) > 1 << of
