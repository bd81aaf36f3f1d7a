import pytest

from tocsin.findings import Severity, Verdict
from tocsin.report.comparison import Change, Kind, compare, exit_code
from tocsin.report.summary import CheckSummary, RunSummary


def violated(severity: Severity = Severity.HIGH, *variants: str, effects: int | None = 3) -> CheckSummary:
    return CheckSummary("a", Verdict.VIOLATED, severity, frozenset(variants), effects, None, None)


def clean(limit: float | None = 0.02, trials: int | None = 150) -> CheckSummary:
    return CheckSummary("a", Verdict.NOT_OBSERVED, Severity.NONE, frozenset(), None, limit, trials)


def untold(verdict: Verdict = Verdict.INCONCLUSIVE) -> CheckSummary:
    return CheckSummary("a", verdict, Severity.NONE, frozenset(), None, None, None)


def run(*checks: CheckSummary | None, operation: str = "POST /order") -> RunSummary:
    return RunSummary(operation, "http://a", "2026-01-01T00:00:00Z", {one.check: one for one in checks if one})


@pytest.mark.parametrize(
    ("before", "after", "kind", "code"),
    [
        (clean(), violated(), Kind.APPEARED, 1),
        (None, violated(), Kind.APPEARED, 1),
        (untold(), violated(), Kind.APPEARED, 1),
        (violated(Severity.LOW), violated(Severity.HIGH), Kind.WORSE, 1),
        (violated(Severity.HIGH, "a"), violated(Severity.HIGH, "a", "b"), Kind.WORSE, 1),
        (violated(), untold(), Kind.LOST, 3),
        (clean(), untold(Verdict.NOT_APPLICABLE), Kind.LOST, 3),
        (clean(), None, Kind.LOST, 3),
        (clean(0.02), clean(0.05), Kind.WEAKER, 0),
        (clean(None, 48), clean(None, 8), Kind.WEAKER, 0),
        (clean(None, 48), clean(None, None), Kind.WEAKER, 0),
        (violated(Severity.HIGH), violated(Severity.LOW), Kind.MILDER, 0),
        (violated(Severity.HIGH, "a", "b"), violated(Severity.HIGH, "a"), Kind.MILDER, 0),
        (violated(), clean(), Kind.GONE, 0),
        (clean(0.05), clean(0.02), Kind.STRONGER, 0),
        (untold(), clean(), Kind.TOLD, 0),
        (None, clean(), Kind.TOLD, 0),
    ],
)
def test_what_became_of_a_check(before: CheckSummary | None, after: CheckSummary | None, kind: Kind, code: int) -> None:
    changes = compare(run(before), run(after))
    assert changes == [Change(kind, "a", before, after)]
    assert exit_code(changes) == code


@pytest.mark.parametrize("same", [violated(), clean(), clean(None, 8), untold(), None])
def test_what_is_the_same_is_no_change(same: CheckSummary | None) -> None:
    assert compare(run(same), run(same)) == []
    assert exit_code([]) == 0


def test_the_number_of_effects_alone_is_chance() -> None:
    assert compare(run(violated(effects=3)), run(violated(effects=7))) == []


def test_a_violation_that_cannot_be_told_any_more_is_never_gone() -> None:
    assert [change.kind for change in compare(run(violated()), run(untold()))] == [Kind.LOST]


def test_the_worst_comes_first() -> None:
    def named(check: str, summary: CheckSummary) -> CheckSummary:
        return CheckSummary(check, *[getattr(summary, name) for name in list(CheckSummary.__slots__)[1:]])

    before = run(named("a", violated()), named("b", clean()), named("c", clean()))
    after = run(named("a", clean()), named("b", untold()), named("c", violated()))
    changes = compare(before, after)
    assert [(change.kind, change.check) for change in changes] == [
        (Kind.APPEARED, "c"),
        (Kind.LOST, "b"),
        (Kind.GONE, "a"),
    ]
    assert exit_code(changes) == 1


def test_two_operations_are_refused() -> None:
    with pytest.raises(ValueError, match="one is of POST /order and the other of GET /"):
        compare(run(), run(operation="GET /"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, violated(Severity.HIGH, "b", "a"), "VIOLATED, high, 3 effects, a, b; was not run"),
        (clean(), violated(effects=None), "VIOLATED, high; was NOT_OBSERVED in 150 trials, at most 2.0 % a trial"),
        (clean(None, None), untold(), "INCONCLUSIVE; was NOT_OBSERVED in 0 trials"),
    ],
)
def test_a_change_says_both_sides(before: CheckSummary | None, after: CheckSummary | None, said: str) -> None:
    [change] = compare(run(before), run(after))
    assert str(change) == said
