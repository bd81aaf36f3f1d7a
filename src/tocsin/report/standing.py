"""How a run stands: its verdict, its score, and the exit code that the user's terms make of them. PURE.

Rule: terms decide the exit code alone. What was found, and its score, are shown as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.events import RunStarted
from tocsin.findings import EXIT_CODES, Finding, Severity, Verdict, worst_verdict
from tocsin.report._words import VERDICTS
from tocsin.report.score import Score, grade_of, score
from tocsin.report.summary import CheckSummary, RunSummary, summary_of

_CLEAN, _BAD, _UNTOLD = EXIT_CODES[Verdict.NOT_OBSERVED], EXIT_CODES[Verdict.VIOLATED], EXIT_CODES[Verdict.INCONCLUSIVE]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the user accepts.

    Args:
        threshold: the least score that is good enough, whatever was found; None: any violation is too much.
        baseline: an earlier run, whose violations are known.
        unwritten: whether a report that the user wanted is missing: whoever asked for it has not been told.
    """

    threshold: int | None = None
    baseline: RunSummary | None = None
    unwritten: bool = False


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a run.

    Args:
        known: the checks whose violation stood in the baseline, and is no worse now.
        exit_code: 0, 1 or 3.
        reason: what decided about the exit code, in a few words.
    """

    verdict: Verdict
    score: Score
    known: frozenset[str]
    exit_code: int
    reason: str


def standing(started: RunStarted, findings: Sequence[Finding], terms: Terms = NO_TERMS) -> Standing:
    """How a run stands on these terms."""
    known = _known(summary_of(started, findings), terms.baseline)
    verdict = worst_verdict(findings, started.checks)
    counting = [finding for finding in findings if finding.check not in known]
    # What is known was tested, too: with nothing else left, nothing is open.
    left = worst_verdict(counting, set(started.checks) - known) if counting or not known else Verdict.NOT_OBSERVED
    if terms.threshold is None:
        code, reason = EXIT_CODES[left], VERDICTS[left].lower()
        if known and left is not Verdict.VIOLATED:
            reason = f"nothing new ({reason})" if left is not Verdict.NOT_OBSERVED else "nothing new"
    else:
        code, reason = _against(terms.threshold, score(findings, started.checks, known), left)
    # What was seen stays so, whatever else could not be told.
    if terms.unwritten and code == _CLEAN:
        code, reason = _UNTOLD, "not all that was asked for could be written"
    return Standing(verdict, score(findings, started.checks), known, code, reason)


def _against(threshold: int, counted: Score, left: Verdict) -> tuple[int, str]:
    wanted = f"the threshold of {threshold} ({grade_of(threshold)})"
    if counted.points >= threshold:
        return _CLEAN, f"{counted.points} reaches {wanted}"
    return (_BAD if left is Verdict.VIOLATED else _UNTOLD), f"{counted.points} is below {wanted}"


def _known(now: RunSummary, baseline: RunSummary | None) -> frozenset[str]:
    if baseline is None:
        return frozenset()
    return frozenset(check for check, found in now.checks.items() if is_no_worse(found, baseline.checks.get(check)))


def is_no_worse(now: CheckSummary, before: CheckSummary | None) -> bool:
    """Whether a violation stood before: as severe at least, and in every part that it has now."""
    severities = list(Severity)
    return (
        now.verdict is Verdict.VIOLATED
        and before is not None
        and before.verdict is Verdict.VIOLATED
        and severities.index(before.severity) <= severities.index(now.severity)
        and now.variants <= before.variants
    )
