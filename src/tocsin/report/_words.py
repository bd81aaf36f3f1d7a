"""What every report says in the same words. PURE.

Rule: no report says "safe". Not observed is worth its bound, and nothing more.
"""

from collections.abc import Sequence

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Finding, Verdict
from tocsin.report.scan_bound import JointLimit
from tocsin.report.score import Score

VERDICTS = {
    Verdict.VIOLATED: "Violated",
    Verdict.NOT_OBSERVED: "Not observed",
    Verdict.INCONCLUSIVE: "Inconclusive",
    Verdict.NOT_APPLICABLE: "Not applicable",
}

# For the whole run, where one or two words have to stand alone.
HEADLINES = {**VERDICTS, Verdict.NOT_OBSERVED: "No violation observed", Verdict.NOT_APPLICABLE: "Nothing to test"}


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 check", "412 requests", "20,000 effects"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """As in "23.4 s" and "2 min 05 s"; tenths only below a minute."""
    if round(seconds, 1) < 60:  # noqa: PLR2004  seconds in a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def effects(finding: Finding, noun: str = "") -> str:
    """As in "3 (allowed 1)", with a noun "3 effects (allowed 1)"; "" where no count decided."""
    if finding.effects is None:
        return ""
    count = counted(finding.effects, noun) if noun else f"{finding.effects:,}"
    return count if finding.allowed_effects is None else f"{count} (allowed {finding.allowed_effects:,})"


def bound(finding: Finding) -> str:
    """What a clean result is worth, and what did not count towards it; "" without a bound."""
    if finding.bound is None:
        return ""
    return str(finding.bound) + (f"; {finding.bound.void:,} void" if finding.bound.void else "")


def not_run(started: RunStarted, findings: Sequence[Finding]) -> tuple[str, ...]:
    """The checks that were to run and came to no conclusion."""
    concluded = {finding.check for finding in findings}
    return tuple(check for check in started.checks if check not in concluded)


def conclusion(verdict: Verdict, started: RunStarted, findings: Sequence[Finding]) -> str:
    """The run in a sentence or two, for a verdict that `worst_verdict` gave."""
    missing = not_run(started, findings)
    of_all = counted(len(findings) + len(missing), "check")
    violated = sum(finding.verdict is Verdict.VIOLATED for finding in findings)
    if verdict is Verdict.VIOLATED:
        return f"{violated} of {of_all} found a violation."
    if verdict is Verdict.INCONCLUSIVE:
        still_open = len(missing) + sum(finding.verdict is Verdict.INCONCLUSIVE for finding in findings)
        return f"No violation was observed, but {still_open} of {of_all} came to no conclusion."
    if verdict is Verdict.NOT_OBSERVED:
        clean = sum(finding.verdict is Verdict.NOT_OBSERVED for finding in findings)
        return f"{clean} of {of_all} ran clean. That is worth the bound of each, and no more."
    return "No check applies to this plan, so nothing was tested."


def graded(score: Score) -> str:
    """The score with what it was lost by: "Grade D, 60 of 100 (over-allocation -40)."."""
    lost = ", ".join(f"{check} -{cost}" for check, cost in score.lost)
    return f"Grade {score.grade}, {score.points} of 100{f' ({lost})' if lost else ''}."


def joint(limits: Sequence[JointLimit], ended: RunEnded) -> str:
    """What all clean checks are worth together: what the run says of it, else the limits; "" without several."""
    if ended.statement:
        return f"{ended.statement.removesuffix('.')}."
    if len(limits) < 2:  # noqa: PLR2004  one alone is its own bound
        return ""
    return f"All at once, with 95 %: {'; '.join(str(limit) for limit in limits)}."
