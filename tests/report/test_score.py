"""The score's rule: see docs/reports.md."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.findings import Bound, Evidence, Finding, Severity, Verdict
from tocsin.report.score import (
    COSTS,
    ESSENTIAL,
    GRADES,
    UNANSWERED_COST,
    WORST_LIMIT,
    Score,
    grade_of,
    least_score,
    score,
)

OTHERS = ("over-allocation", "stale-timestamp", "contention-errors")
SEVERITIES = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)


def concluded(check: str, verdict: Verdict, severity: Severity = Severity.NONE) -> Finding:
    bound = Bound(150, "bursts", 0.02) if verdict is Verdict.NOT_OBSERVED else None
    return Finding(check, "?", verdict, Evidence("because"), severity, bound=bound)


def clean(*checks: str) -> list[Finding]:
    return [concluded(check, Verdict.NOT_OBSERVED) for check in checks]


@st.composite
def runs(draw: st.DrawFn) -> list[Finding]:
    checks = draw(st.lists(st.sampled_from((*ESSENTIAL, *OTHERS)), unique=True))
    findings = []
    for check in checks:
        verdict = draw(st.sampled_from(Verdict))
        severity = draw(st.sampled_from(SEVERITIES)) if verdict is Verdict.VIOLATED else Severity.NONE
        findings.append(concluded(check, verdict, severity))
    return findings


def points(findings: list[Finding]) -> int:
    return score(findings, [finding.check for finding in findings]).points


def test_everything_asked_and_nothing_found_is_an_a() -> None:
    assert score(clean(*ESSENTIAL, *OTHERS), ()) == Score(100, (), ())
    assert str(score(clean(*ESSENTIAL), ())) == "A (100 of 100)"


@pytest.mark.parametrize(("severity", "grade"), list(zip(SEVERITIES, "FDCB", strict=True)))
def test_one_violation_alone_decides_the_grade(severity: Severity, grade: str) -> None:
    run = [*clean(*ESSENTIAL), concluded("over-allocation", Verdict.VIOLATED, severity)]
    assert score(run, ()).grade == grade
    assert score(run, ()).lost == (("over-allocation", COSTS[severity]),)


def test_the_documents_state_the_rule_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    for severity, grade in zip(SEVERITIES, "FDCB", strict=True):
        assert f"| VIOLATED, {severity} | {COSTS[severity]} | {grade} |" in text
    assert text.count(f" | {UNANSWERED_COST} | {grade_of(100 - UNANSWERED_COST)} |") == 3
    assert f"limit above {WORST_LIMIT:.0%}".replace("%", " %") in text
    assert f"**Essential** are `{'`, `'.join(ESSENTIAL[:-1])}` and `{ESSENTIAL[-1]}`" in text
    assert "**A** from 90 points, **B** from 80, **C** from 70, **D** from 60" in text
    assert list(GRADES.values()) == [90, 80, 70, 60, 0]


@given(run=runs(), data=st.data())
def test_no_answer_never_scores_more_than_a_clean_one_or_than_not_asking(
    run: list[Finding], data: st.DataObject
) -> None:
    check = data.draw(st.sampled_from((*ESSENTIAL, *OTHERS)))
    rest = [finding for finding in run if finding.check != check]
    unanswered = points([*rest, concluded(check, Verdict.INCONCLUSIVE)])
    assert unanswered <= points(rest)
    assert unanswered <= points([*rest, *clean(check)])
    assert grade_of(unanswered) != "A"


@given(run=runs())
def test_a_violation_never_scores_more_than_no_violation(run: list[Finding]) -> None:
    for place, finding in enumerate(run):
        if finding.verdict is Verdict.VIOLATED:
            better = [*run[:place], *clean(finding.check), *run[place + 1 :]]
            assert points(run) <= points(better)
            assert 0 <= points(run) <= 89


def test_a_check_that_was_to_run_and_did_not_costs_as_much_as_one_that_could_not_tell() -> None:
    found = score(clean(*ESSENTIAL), [*ESSENTIAL, "reordering"])
    assert (found.points, found.unanswered) == (100 - UNANSWERED_COST, ("reordering",))


def test_a_plan_that_asks_little_does_not_score_well() -> None:
    nothing = [concluded(check, Verdict.NOT_APPLICABLE) for check in (*ESSENTIAL, *OTHERS)]
    assert score(nothing, ()).grade == "F"
    assert score(clean("concurrent-duplicate"), ["concurrent-duplicate"]).unanswered == ESSENTIAL[1:]


@pytest.mark.parametrize(("trials", "cost"), [(1, UNANSWERED_COST), (4, UNANSWERED_COST), (5, 0), (150, 0)])
def test_a_clean_check_with_a_bound_that_says_nothing_is_no_answer(trials: int, cost: int) -> None:
    """0 of 4 bursts allow 53 % a burst, 0 of 5 allow 45 %."""
    bound = Bound(trials, "bursts", 1 - 0.05 ** (1 / trials))
    cut_short = Finding("contention-errors", "?", Verdict.NOT_OBSERVED, Evidence("because"), bound=bound)
    assert score([*clean(*ESSENTIAL), cut_short], ()).points == 100 - cost


def test_what_does_not_apply_and_is_not_essential_costs_nothing() -> None:
    assert points([*clean(*ESSENTIAL), concluded("reordering", Verdict.NOT_APPLICABLE)]) == 100


def test_a_forgiven_violation_costs_nothing_and_counts_as_asked() -> None:
    run = [*clean(*ESSENTIAL[1:]), concluded(ESSENTIAL[0], Verdict.VIOLATED, Severity.HIGH)]
    assert score(run, (), forgiven={ESSENTIAL[0]}).points == 100


@pytest.mark.parametrize(("given", "least"), [("A", 90), ("b", 80), ("F", 0), ("0", 0), ("75", 75), ("100", 100)])
def test_a_threshold_is_a_grade_or_a_score(given: str, least: int) -> None:
    assert least_score(given) == least


@pytest.mark.parametrize("given", ["", "E", "101", "-1", "7.5", "\u0663", "A+"])
def test_anything_else_is_refused_and_named(given: str) -> None:
    with pytest.raises(ValueError, match=r"wanted a grade \(A, B, C, D, F\) or a score from 0 to 100"):
        least_score(given)


def test_a_score_that_forgives_no_answer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.report.score.UNANSWERED_COST", 0)
    with pytest.raises(AssertionError):
        test_a_plan_that_asks_little_does_not_score_well()
