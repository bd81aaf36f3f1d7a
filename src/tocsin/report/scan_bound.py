"""What all clean checks are worth together. PURE.

Rule: k statements of 95 % each do not make one of 95 %. Each bound is stated again at 1 - 0.05 / k, so that all of them
hold at once with 95 % (Bonferroni); the trials stay the same, so each limit is a little higher. k counts what was asked
for and did not come out clean as well: which bounds are stated is chance, too.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tocsin.findings import Finding, Verdict

_DOUBT = 0.05


@dataclass(frozen=True, slots=True)
class JointLimit:
    """One check's (or variant's) limit among all. `of` names it."""

    of: str
    trials: int
    unit: str
    upper_limit: float

    def __str__(self) -> str:
        # Rounded up, like Bound: rounded to nearest, it would promise more than was shown.
        percent = math.ceil(round(self.upper_limit * 1000, 6)) / 10
        return f"{self.of}: at most {percent:.1f} % a {self.unit.removesuffix('s')}"


def joint_limits(findings: Sequence[Finding], asked: int = 0) -> tuple[JointLimit, ...]:
    """Limits that hold all at once with 95 %; empty where no clean check states one.

    Args:
        findings: of the run.
        asked: how many bounds it asked for, as far as it says so (RunEnded.bounds_asked).
    """
    clean = [stated for finding in findings for stated in _stated(finding)]
    doubt = _DOUBT / max(len(clean), asked, 1)
    return tuple(JointLimit(of, trials, unit, 1 - doubt ** (1 / trials)) for of, trials, unit in clean)


def _stated(finding: Finding) -> Iterator[tuple[str, int, str]]:
    """The clean bounds of a finding: those of its variants where it tells them, else its own."""
    bound = finding.bound
    if finding.verdict is not Verdict.NOT_OBSERVED or bound is None or bound.upper_limit is None:
        return
    variants = dict(_variants(finding))
    if variants:
        yield from ((f"{finding.check} ({name})", trials, bound.unit) for name, trials in variants.items())
    elif bound.trials > 0:
        yield finding.check, bound.trials, bound.unit


def _variants(finding: Finding) -> Iterator[tuple[str, int]]:
    variants = finding.evidence.facts.get("variants")
    if isinstance(variants, Mapping):
        for name, variant in variants.items():
            if isinstance(variant, Mapping) and variant.get("verdict") == Verdict.NOT_OBSERVED:
                trials = variant.get("valid_bursts")
                if isinstance(trials, int) and trials > 0:
                    yield name, trials
