"""What is different between two runs of one operation. PURE.

Rule: a violation is gone only where its check ran clean. One that could not be told any more is lost, and that is no
good news.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tocsin.findings import EXIT_CODES, Verdict
from tocsin.report._words import counted
from tocsin.report.standing import is_no_worse
from tocsin.report.summary import CheckSummary, RunSummary


class Kind(StrEnum):
    """What became of a check, worst first."""

    APPEARED = "appeared"
    WORSE = "worse"
    LOST = "lost"
    WEAKER = "weaker"
    MILDER = "milder"
    GONE = "gone"
    STRONGER = "stronger"
    TOLD = "told"


_BAD = frozenset({Kind.APPEARED, Kind.WORSE})
_ANSWERS = frozenset({Verdict.VIOLATED, Verdict.NOT_OBSERVED})


@dataclass(frozen=True, slots=True)
class Change:
    """One check that is not as it was; None where a run does not have it."""

    kind: Kind
    check: str
    before: CheckSummary | None
    after: CheckSummary | None

    def __str__(self) -> str:
        return f"{_said(self.after)}; was {_said(self.before)}"


def compare(before: RunSummary, after: RunSummary) -> list[Change]:
    """Every check that changed, the worst changes first, each kind in the order of the checks.

    Raises:
        ValueError: the runs are of two operations.
    """
    if before.operation != after.operation:
        raise ValueError(
            f"one is of {before.operation} and the other of {after.operation}: wanted two of one operation"
        )
    return sorted(_changes(before, after), key=lambda change: list(Kind).index(change.kind))


def exit_code(changes: list[Change]) -> int:
    """1 if a violation appeared or got worse, 3 if an answer was lost, else 0."""
    kinds = {change.kind for change in changes}
    if kinds & _BAD:
        return EXIT_CODES[Verdict.VIOLATED]
    return EXIT_CODES[Verdict.INCONCLUSIVE if Kind.LOST in kinds else Verdict.NOT_OBSERVED]


def _changes(before: RunSummary, after: RunSummary) -> Iterator[Change]:
    for check in dict.fromkeys((*before.checks, *after.checks)):
        then, now = before.checks.get(check), after.checks.get(check)
        kind = _kind(then, now)
        if kind is not None:
            yield Change(kind, check, then, now)


def _kind(then: CheckSummary | None, now: CheckSummary | None) -> Kind | None:
    was, is_ = (None if one is None or one.verdict not in _ANSWERS else one for one in (then, now))
    if is_ is None:
        return None if was is None else Kind.LOST
    if is_.verdict is Verdict.VIOLATED:
        if was is None or was.verdict is not Verdict.VIOLATED:
            return Kind.APPEARED
        return _between_violations(was, is_)
    if was is None:
        return Kind.TOLD
    return Kind.GONE if was.verdict is Verdict.VIOLATED else _between_bounds(was, is_)


def _between_violations(was: CheckSummary, is_: CheckSummary) -> Kind | None:
    if not is_no_worse(is_, was):
        return Kind.WORSE
    return None if is_no_worse(was, is_) else Kind.MILDER


def _between_bounds(was: CheckSummary, is_: CheckSummary) -> Kind | None:
    """By what was ruled out: the lower the limit the stronger; without one, by the number of trials."""
    if was.upper_limit is not None and is_.upper_limit is not None:
        weaker_by = is_.upper_limit - was.upper_limit
    else:
        weaker_by = (was.trials or 0) - (is_.trials or 0)
    return None if not weaker_by else Kind.WEAKER if weaker_by > 0 else Kind.STRONGER


def _said(check: CheckSummary | None) -> str:
    if check is None:
        return "not run"
    if check.verdict is Verdict.VIOLATED:
        return ", ".join(filter(None, (check.verdict, check.severity, _effects(check), *sorted(check.variants))))
    if check.verdict is Verdict.NOT_OBSERVED:
        limit = "" if check.upper_limit is None else f", at most {check.upper_limit * 100:.1f} % a trial"
        return f"{check.verdict} in {counted(check.trials or 0, 'trial')}{limit}"
    return check.verdict


def _effects(check: CheckSummary) -> str:
    return "" if check.effects is None else counted(check.effects, "effect")
