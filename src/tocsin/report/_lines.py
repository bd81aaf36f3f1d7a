"""Lines of a terminal, as parts with a style. PURE.

Rule: a line is broken here, between words, or not at all. Nothing later breaks or cuts it: a command, a URL or a line
of code that is longer than the screen reaches the clipboard in one piece.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from rich.cells import cell_len

from tocsin.findings import Finding, Severity, Verdict
from tocsin.report._plain_text import line as one_line
from tocsin.report._words import effects

Part: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Part, ...]

EMPTY: Line = ()

VERDICT_STYLES = {
    Verdict.VIOLATED: "bold red",
    Verdict.NOT_OBSERVED: "green",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}


def paragraph(text: str, columns: int, *, style: str = "", indent: str = "", lead: str = "") -> Iterator[Line]:
    """The text, made harmless, in lines of at most so many columns; a longer word stays whole on its own line.

    `indent` opens every line; `lead`, which is ours and bold, opens only the first.
    """
    used = cell_len(indent) + cell_len(lead)
    words: list[str] = []
    for word in one_line(text).split():
        if words and used + cell_len(word) > columns:
            yield _line(indent, lead, words, style)
            lead, words, used = "", [], cell_len(indent)
        words.append(word)
        used += cell_len(word) + 1
    yield _line(indent, lead, words, style)


def heading(verdict: Verdict, rest: str, columns: int) -> Line:
    """Opens a part of the result, with a rule to the right edge: without colour the eye needs a mark to stop at."""
    rest = one_line(rest)
    rule = "-" * max(columns - len(verdict) - cell_len(rest) - 4, 0)
    return (("- ", "dim"), (verdict.value, VERDICT_STYLES[verdict]), (f" {rest} ", "bold"), (rule, "dim"))


def column_heads(check_columns: int) -> Line:
    """What stands above lines of `verdict_line`."""
    return ((_columns("check", check_columns, "verdict", "effects", "severity"), "dim"),)


def verdict_line(finding: Finding, check_columns: int, *, known: bool = False) -> Line:
    """One check's conclusion: check, verdict, effects, severity, and whether a baseline knows it."""
    verdict = finding.verdict.value
    severity = "" if finding.severity is Severity.NONE else finding.severity.value + (", known" if known else "")
    whole = _columns(one_line(finding.check), check_columns, verdict, effects(finding), severity)
    check, rest = whole[: check_columns + 2], whole[check_columns + 2 + len(verdict) :]
    return ((check, ""), (verdict, VERDICT_STYLES[finding.verdict]), (rest, ""))


def widest(checks: Iterable[str]) -> int:
    """How many columns the longest id takes."""
    return max((cell_len(one_line(check)) for check in checks), default=0)


def _columns(check: str, check_columns: int, verdict: str, counted: str, severity: str) -> str:
    return f"{check:<{check_columns}}  {verdict:<14}  {counted:<14}  {severity}".rstrip()


def _line(indent: str, lead: str, words: list[str], style: str) -> Line:
    return ((indent, ""), (lead, "bold"), (" ".join(words), style))
