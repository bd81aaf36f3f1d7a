"""What a terminal says before and after a run. PURE.

Rule: first all checks at a glance, then the argument for every violation with its rerun command and its fix, then what
stayed open, and the grade and totals last, where the eye is when the command returns.
"""

from collections.abc import Iterator, Sequence

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Finding, Verdict, worst_first
from tocsin.report._lines import EMPTY, VERDICT_STYLES, Line, column_heads, heading, paragraph, verdict_line, widest
from tocsin.report._plain_text import line, lines
from tocsin.report._words import bound, conclusion, counted, duration, effects, graded, joint, not_run
from tocsin.report.explanation import explained
from tocsin.report.scan_bound import joint_limits
from tocsin.report.standing import NO_TERMS, Standing, Terms, standing
from tocsin.report.summary import finding_id

_INDENT = "    "
_CODE_STYLE = "cyan"


def opening(started: RunStarted, columns: int) -> Iterator[Line]:
    """What is about to be scanned."""
    yield from paragraph(f"{started.operation} at {started.target}", columns, lead=f"tocsin {line(started.version)}: ")
    terms = f"{counted(len(started.checks), 'check')} in at most {started.budget_s:g} s"
    yield from paragraph(f"plan {started.plan}, seed {started.seed}, {terms}", columns, style="dim")
    if started.delivery:
        yield from paragraph(f"delivery: {started.delivery}", columns, style="dim")
    yield EMPTY


def heads(started: RunStarted) -> Line:
    """What stands above the lines of `concluded`."""
    return column_heads(widest(started.checks))


def concluded(started: RunStarted, finding: Finding, columns: int, terms: Terms = NO_TERMS) -> Iterator[Line]:
    """One check at a glance: its conclusion, and what that is worth."""
    known = finding.check in standing(started, [finding], terms).known
    yield verdict_line(finding, widest(started.checks), known=known)
    yield from _worth(finding, columns)


def result(
    started: RunStarted, findings: Sequence[Finding], ended: RunEnded, columns: int, terms: Terms = NO_TERMS
) -> Iterator[Line]:
    """What follows the checks at a glance.

    Lines have at most so many columns; only code and words longer than that exceed them.
    """
    stood = standing(started, findings, terms)
    shown: set[str] = set()
    for finding in worst_first(findings):
        if finding.verdict is Verdict.VIOLATED:
            yield from _violation(started, finding, columns, known=finding.check in stood.known)
            yield from _fix(finding, columns, shown)
    yield from _left_open(started, findings, columns)
    yield from _end(started, findings, ended, stood, columns)


def _worth(finding: Finding, columns: int) -> Iterator[Line]:
    """The bound of a clean check, or why a check does not apply; the others are argued further down."""
    if finding.bound is not None:
        yield from paragraph(bound(finding), columns, style="dim", indent=_INDENT)
    if finding.verdict is Verdict.NOT_APPLICABLE:
        yield from paragraph(finding.evidence.summary, columns, style="dim", indent=_INDENT)


def _violation(started: RunStarted, finding: Finding, columns: int, *, known: bool) -> Iterator[Line]:
    yield EMPTY
    yield heading(finding.verdict, f"{finding.check}, {finding.severity}{', known' if known else ''}", columns)
    yield from paragraph(finding.title, columns, style="dim")
    yield from paragraph(
        f"finding {finding_id(started.operation, finding.check)}{_explain(finding)}", columns, style="dim"
    )
    yield EMPTY
    yield from paragraph(finding.evidence.summary, columns)
    if finding.effects is not None:
        yield EMPTY
        yield from paragraph(effects(finding, "effect"), columns, lead="State: ")
    if finding.reproducer is not None:
        yield from _code("Rerun:", [line(finding.reproducer.command)])


def _fix(finding: Finding, columns: int, shown: set[str]) -> Iterator[Line]:
    """What closes the hole. Code that was shown before is not shown again: one guard closes several."""
    if finding.remedy is None:
        return
    yield EMPTY
    yield from paragraph(finding.remedy.text, columns, lead="Fix: ")
    code = finding.remedy.guard_call
    if code in shown:
        yield from paragraph("as above.", columns, lead="With tocsin.guard: ")
    elif code:
        yield from _code("With tocsin.guard:", lines(code))
        shown.add(code)


def _explain(finding: Finding) -> str:
    return f"; to learn more: tocsin explain {finding.check}" if finding.check in explained() else ""


def _code(lead: str, code: list[str]) -> Iterator[Line]:
    """Flush left and never broken, so that it can be copied as it stands."""
    yield EMPTY
    yield ((lead, "bold"),)
    yield from (((one, _CODE_STYLE),) for one in code)


def _left_open(started: RunStarted, findings: Sequence[Finding], columns: int) -> Iterator[Line]:
    """What could not be told, and why: each reason once, for a service that dies is the reason of every check left."""
    by_reason: dict[str, list[str]] = {}
    for finding in findings:
        if finding.verdict is Verdict.INCONCLUSIVE:
            by_reason.setdefault(finding.evidence.summary, []).append(finding.check)
    for reason, checks in by_reason.items():
        yield EMPTY
        yield heading(Verdict.INCONCLUSIVE, checks[0] if len(checks) == 1 else counted(len(checks), "check"), columns)
        if len(checks) > 1:
            yield from paragraph(", ".join(checks), columns)
        yield from paragraph(reason, columns)
    missing = not_run(started, findings)
    if missing:
        yield EMPTY
        yield from paragraph(", ".join(missing), columns, lead="Not concluded: ")


def _end(
    started: RunStarted, findings: Sequence[Finding], ended: RunEnded, stood: Standing, columns: int
) -> Iterator[Line]:
    yield EMPTY
    if ended.interrupted:
        yield from paragraph(ended.interrupted, columns, lead="Ended early: ")
    if ended.left_behind:
        yield from paragraph(ended.left_behind, columns, lead="Left behind: ")
    together = joint(joint_limits(findings, ended.bounds_asked), ended)
    if together:
        yield from paragraph(together, columns, style="dim")
    yield from paragraph(conclusion(stood.verdict, started, findings), columns, style=VERDICT_STYLES[stood.verdict])
    if stood.known:
        yield from paragraph(f"{counted(len(stood.known), 'violation')} known by the baseline.", columns)
    yield from paragraph(graded(stood.score), columns)
    totals = f"{counted(ended.requests, 'request')}, {counted(ended.effects, 'effect')}, {duration(ended.elapsed_s)}."
    # What ended a run early can have an exit code of its own, which this report is not told.
    exit_code = "" if ended.interrupted else f" Exit code {stood.exit_code}: {stood.reason}."
    yield from paragraph(f"{totals}{exit_code}", columns)
