"""What a check concludes: a verdict, its evidence and its bound. PURE.

Rule: a finding argues. VIOLATED names the state that was read and the requests that made it so; NOT_OBSERVED is worth
only its bound; INCONCLUSIVE and NOT_APPLICABLE say what was missing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from tocsin.history import History

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class Verdict(StrEnum):
    """What a check says. There is no verdict "safe": see Bound."""

    VIOLATED = "VIOLATED"
    NOT_OBSERVED = "NOT_OBSERVED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_APPLICABLE = "NOT_APPLICABLE"


class Severity(StrEnum):
    """How bad a violation is; NONE for every other verdict."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a clean result is worth.

    Args:
        trials: how many trials were valid.
        unit: what a trial is, in the plural: "bursts", "replays", "probes".
        upper_limit: the 95 % upper limit of the probability per trial, or None where no such statement can be made.
        detail: what else limits the statement, as a sentence: the longest wait, the budget that ended.
        mixture: how many valid trials of which kind: {"last-byte n=20": 75}.
        void: how many trials were not delivered as planned, and so count for nothing.
    """

    trials: int
    unit: str
    upper_limit: float | None = None
    detail: str = ""
    mixture: Mapping[str, int] = field(default_factory=dict)
    void: int = 0

    def __str__(self) -> str:
        said = f"0 of {self.trials} {self.unit}"
        if self.upper_limit is not None:
            said += f": at most {_percent(self.upper_limit)} a {self.unit.removesuffix('s')} (95 % upper limit)"
        return f"{said}; {self.detail}" if self.detail else said


def _percent(limit: float) -> str:
    """A limit in percent, rounded up: rounded to nearest, it would promise more than was shown."""
    # The inner round takes off what binary fractions add: 0.02 must not become 2.1 %.
    return f"{math.ceil(round(limit * 1000, 6)) / 10:.1f} %"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why the verdict is what it is.

    Args:
        summary: the argument in a sentence or two, readable alone.
        facts: everything else, by name, as JSON: variants, probes, controls, counts.
        timeline: the decisive burst, if one decided.
    """

    summary: str
    facts: Mapping[str, Json] = field(default_factory=dict)
    timeline: History | None = None


@dataclass(frozen=True, slots=True)
class Reproducer:
    """How to see it again: a command that signs anew. No signature is stored.

    Args:
        command: the command line, without secrets.
        requests: what it sends, a line a request, every signature replaced.
    """

    command: str
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remedy:
    """What closes the hole.

    Args:
        text: the fix in a sentence or two.
        guard_call: the lines of code that do it with tocsin.guard, or "" where the guard is not the fix.
    """

    text: str
    guard_call: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; clean ones are findings too.

    Args:
        check: the check's id, such as "concurrent-duplicate".
        title: the question it answers.
        effects: how many effects were read in the decisive trial, where that decided.
        allowed_effects: how many were allowed there.
        cwe: the weaknesses shown, by number.
        owasp: the category of the OWASP API Security Top 10 2023.
    """

    check: str
    title: str
    verdict: Verdict
    evidence: Evidence
    severity: Severity = Severity.NONE
    effects: int | None = None
    allowed_effects: int | None = None
    bound: Bound | None = None
    reproducer: Reproducer | None = None
    remedy: Remedy | None = None
    cwe: tuple[int, ...] = ()
    owasp: str = ""

    def __post_init__(self) -> None:
        if (self.verdict is Verdict.VIOLATED) != (self.severity is not Severity.NONE):
            raise ValueError(f"{self.check}: a severity goes with VIOLATED and with nothing else, not {self.verdict}")
        if self.verdict is Verdict.NOT_OBSERVED and self.bound is None:
            raise ValueError(f"{self.check}: NOT_OBSERVED without a bound says nothing")


# What a reader wants first. An open question outweighs a clean check, and a check that ran one that did not apply.
_WORST_FIRST = (Verdict.VIOLATED, Verdict.INCONCLUSIVE, Verdict.NOT_OBSERVED, Verdict.NOT_APPLICABLE)

EXIT_CODES: Mapping[Verdict, int] = {
    Verdict.VIOLATED: 1,
    Verdict.INCONCLUSIVE: 3,
    Verdict.NOT_OBSERVED: 0,
    # A run in which nothing could be tested must not turn a pipeline green.
    Verdict.NOT_APPLICABLE: 3,
}


def worst_verdict(findings: Iterable[Finding], checks: Iterable[str] = ()) -> Verdict:
    """The verdict of a whole run.

    Args:
        findings: what the run concluded.
        checks: the ids that were to run. One without a finding is an open question, hence INCONCLUSIVE.

    Returns:
        The worst of all; INCONCLUSIVE if there is nothing at all.
    """
    concluded = list(findings)
    verdicts = {finding.verdict for finding in concluded}
    if set(checks) - {finding.check for finding in concluded}:
        verdicts.add(Verdict.INCONCLUSIVE)
    return min(verdicts, key=_WORST_FIRST.index, default=Verdict.INCONCLUSIVE)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By verdict, then by severity; equals keep their order."""
    severities = list(Severity)
    return sorted(findings, key=lambda found: (_WORST_FIRST.index(found.verdict), severities.index(found.severity)))
