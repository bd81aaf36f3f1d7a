"""How good a run is, as a number and a letter. PURE.

Rule: 100 points less what every violation and every unanswered question costs. No answer never scores more than a clean
one, and an A means that everything was asked and nothing was found. docs/reports.md gives the reasons.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tocsin.findings import Finding, Severity, Verdict

# One violation alone decides the grade: critical F, high D, medium C, low B.
COSTS = {Severity.CRITICAL: 60, Severity.HIGH: 40, Severity.MEDIUM: 25, Severity.LOW: 11, Severity.NONE: 0}
# Like a low violation: a question without an answer is at least that.
UNANSWERED_COST = 11
# What a signed operation has to be asked before anybody may call it good. Left out or not applicable (no [[state]],
# say) they count as unanswered, so that a plan that asks little does not score well.
ESSENTIAL = ("concurrent-duplicate", "sequential-replay", "effect-before-verification", "signature-bypass")
# A limit above this does not even say that a trial is likelier to show nothing than something: no answer.
WORST_LIMIT = 0.5
# The least score of each grade, best first.
GRADES = {"A": 90, "B": 80, "C": 70, "D": 60, "F": 0}


@dataclass(frozen=True, slots=True)
class Score:
    """A run's score.

    Args:
        points: 0 to 100.
        lost: what each check cost, in the order of the run; only those that cost something.
        unanswered: the checks that cost because there is no answer.
    """

    points: int
    lost: tuple[tuple[str, int], ...]
    unanswered: tuple[str, ...]

    @property
    def grade(self) -> str:
        """A, B, C, D or F."""
        return grade_of(self.points)

    def __str__(self) -> str:
        return f"{self.grade} ({self.points} of 100)"


def score(findings: Iterable[Finding], checks: Iterable[str], forgiven: Collection[str] = ()) -> Score:
    """Score a run.

    Args:
        findings: what the run concluded.
        checks: the ids that were to run.
        forgiven: the checks whose violation costs nothing, because it was known before.
    """
    by_check = {finding.check: finding for finding in findings}
    lost: dict[str, int] = {}
    unanswered = []
    for check in dict.fromkeys((*by_check, *checks, *ESSENTIAL)):
        finding = by_check.get(check)
        if finding is not None and _is_answer(finding):
            lost[check] = 0 if check in forgiven else COSTS[finding.severity]
        elif check in ESSENTIAL or finding is None or finding.verdict is not Verdict.NOT_APPLICABLE:
            lost[check] = UNANSWERED_COST
            unanswered.append(check)
    points = max(0, 100 - sum(lost.values()))
    return Score(points, tuple((check, cost) for check, cost in lost.items() if cost), tuple(unanswered))


def _is_answer(finding: Finding) -> bool:
    if finding.verdict is Verdict.NOT_OBSERVED:
        limit = None if finding.bound is None else finding.bound.upper_limit
        return limit is None or limit <= WORST_LIMIT
    return finding.verdict is Verdict.VIOLATED


def grade_of(points: int) -> str:
    """The letter for a score."""
    return next(grade for grade, least in GRADES.items() if points >= least)


def least_score(text: str) -> int:
    """What `--threshold` asks for: a grade, or a score from 0 to 100.

    Raises:
        ValueError: it is neither.
    """
    if text.upper() in GRADES:
        return GRADES[text.upper()]
    if text.isascii() and text.isdecimal() and int(text) <= 100:  # noqa: PLR2004  the best score
        return int(text)
    raise ValueError(f"{text!r}: wanted a grade ({', '.join(GRADES)}) or a score from 0 to 100")
