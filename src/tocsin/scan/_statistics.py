"""What a number of clean trials is worth. PURE.

Rule: zero hits in n independent trials excludes, at 95 %, every probability per trial above 1 - 0.05^(1/n): such a
probability would have shown at least once in 95 of 100 scans (Clopper-Pearson, one-sided, zero successes).
"""

CONFIDENCE = 0.95
# 150 clean bursts bound the probability per burst at 2.0 % (checks.md, "Clean bound").
WANTED_IDENTICAL_BURSTS = 150


def upper_limit(clean_trials: int) -> float:
    """The 95 % upper limit of the probability per trial after that many clean ones; 1.0 after none."""
    if clean_trials < 1:
        return 1.0
    return float(1 - (1 - CONFIDENCE) ** (1 / clean_trials))
