"""What a terminal says before and after a run. PURE.

Rule: first all checks at a glance, then the argument for every violation with its rerun command and its fix, then what
stayed open, and the totals last, where the eye is when the command returns.
"""

from collections.abc import Iterator, Sequence

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import EXIT_CODES, Finding, Verdict, worst_first, worst_verdict
from tocsin.report._lines import EMPTY, VERDICT_STYLES, Line, column_heads, heading, paragraph, verdict_line, widest
from tocsin.report._plain_text import line, lines
from tocsin.report._words import VERDICTS, bound, conclusion, counted, duration, effects, not_run

_INDENT = "    "
_CODE_STYLE = "cyan"


def opening(started: RunStarted, columns: int) -> Iterator[Line]:
    """What is about to be scanned."""
    yield from paragraph(f"{started.operation} at {started.target}", columns, lead=f"tocsin {line(started.version)}: ")
    terms = f"{counted(len(started.checks), 'check')} in at most {started.budget_s:g} s"
    yield from paragraph(f"plan {started.plan}, seed {started.seed}, {terms}", columns, style="dim")
    yield EMPTY


def result(started: RunStarted, findings: Sequence[Finding], ended: RunEnded, columns: int) -> Iterator[Line]:
    """The whole result, in lines of at most so many columns; only code and words longer than that exceed them."""
    check_columns = widest(started.checks)
    yield column_heads(check_columns)
    for finding in findings:
        yield verdict_line(finding, check_columns)
        yield from _worth(finding, columns)
    for finding in worst_first(findings):
        if finding.verdict is Verdict.VIOLATED:
            yield from _violation(finding, columns)
    yield from _left_open(started, findings, columns)
    yield from _end(started, findings, ended, columns)


def _worth(finding: Finding, columns: int) -> Iterator[Line]:
    """The bound of a clean check, or why a check does not apply; the others are argued further down."""
    if finding.bound is not None:
        yield from paragraph(bound(finding), columns, style="dim", indent=_INDENT)
    if finding.verdict is Verdict.NOT_APPLICABLE:
        yield from paragraph(finding.evidence.summary, columns, style="dim", indent=_INDENT)


def _violation(finding: Finding, columns: int) -> Iterator[Line]:
    yield EMPTY
    yield heading(finding.verdict, f"{finding.check}, {finding.severity}", columns)
    yield from paragraph(finding.title, columns, style="dim")
    yield EMPTY
    yield from paragraph(finding.evidence.summary, columns)
    if finding.effects is not None:
        yield EMPTY
        yield from paragraph(effects(finding, "effect"), columns, lead="State: ")
    if finding.reproducer is not None:
        yield from _code("Rerun:", [line(finding.reproducer.command)])
    if finding.remedy is not None:
        yield EMPTY
        yield from paragraph(finding.remedy.text, columns, lead="Fix: ")
        if finding.remedy.guard_call:
            yield from _code("With tocsin.guard:", lines(finding.remedy.guard_call))


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


def _end(started: RunStarted, findings: Sequence[Finding], ended: RunEnded, columns: int) -> Iterator[Line]:
    verdict = worst_verdict(findings, started.checks)
    yield EMPTY
    if ended.interrupted:
        yield from paragraph(ended.interrupted, columns, lead="Ended early: ")
    if ended.left_behind:
        yield from paragraph(ended.left_behind, columns, lead="Left behind: ")
    yield from paragraph(conclusion(verdict, started, findings), columns, style=VERDICT_STYLES[verdict])
    totals = f"{counted(ended.requests, 'request')}, {counted(ended.effects, 'effect')}, {duration(ended.elapsed_s)}."
    # What ended a run early can have an exit code of its own, which this report is not told.
    exit_code = "" if ended.interrupted else f" Exit code {EXIT_CODES[verdict]}: {VERDICTS[verdict].lower()}."
    yield from paragraph(f"{totals}{exit_code}", columns)
