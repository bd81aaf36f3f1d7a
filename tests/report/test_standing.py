from collections.abc import Callable

import pytest

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Bound, Evidence, Finding, Severity, Verdict
from tocsin.report.score import ESSENTIAL
from tocsin.report.standing import NO_TERMS, Terms, standing
from tocsin.report.summary import summary_of

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]
Make = Callable[..., Run]

CLEAN = [
    Finding(check, "?", Verdict.NOT_OBSERVED, Evidence("because"), bound=Bound(150, "bursts", 0.02))
    for check in ESSENTIAL
]


def violated(check: str = "over-allocation", severity: Severity = Severity.HIGH, *variants: str) -> Finding:
    facts = {"variants": {name: {"verdict": "VIOLATED"} for name in variants}} if variants else {}
    return Finding(check, "?", Verdict.VIOLATED, Evidence("because", facts), severity)


def open_(check: str = "stale-timestamp") -> Finding:
    return Finding(check, "?", Verdict.INCONCLUSIVE, Evidence("because"))


def not_applicable(check: str = "reordering") -> Finding:
    return Finding(check, "?", Verdict.NOT_APPLICABLE, Evidence("because"))


def code(run: Run, terms: Terms = NO_TERMS) -> tuple[int, str]:
    found = standing(run[0], run[1], terms)
    return found.exit_code, found.reason


def known(make_run: Make, *findings: Finding) -> Terms:
    """Terms with a baseline that has these findings."""
    run = make_run(*findings)
    return Terms(baseline=summary_of(run[0], run[1]))


def test_without_terms_the_verdict_decides(make_run: Make) -> None:
    assert code(make_run(*CLEAN)) == (0, "not observed")
    assert code(make_run(*CLEAN, violated(), open_())) == (1, "violated")
    assert code(make_run(*CLEAN, open_())) == (3, "inconclusive")
    assert code(make_run(*CLEAN, checks=[*ESSENTIAL, "reordering"])) == (3, "inconclusive")
    assert code(make_run(not_applicable())) == (3, "not applicable")
    assert code(make_run()) == (3, "inconclusive")


def test_what_the_baseline_knows_does_not_count(make_run: Make) -> None:
    terms = known(make_run, violated())
    run = make_run(*CLEAN, violated())
    assert code(run, terms) == (0, "nothing new")
    found = standing(run[0], run[1], terms)
    assert found.known == {"over-allocation"}
    assert found.verdict is Verdict.VIOLATED
    assert found.score.points == 60


def test_a_violation_alone_that_is_known_leaves_nothing_open(make_run: Make) -> None:
    assert code(make_run(violated()), known(make_run, violated())) == (0, "nothing new")


def test_what_could_not_be_told_stays_open_beside_what_is_known(make_run: Make) -> None:
    terms = known(make_run, violated())
    assert code(make_run(*CLEAN, violated(), open_()), terms) == (3, "nothing new (inconclusive)")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (None, violated()),
        (open_("over-allocation"), violated()),
        (violated("over-allocation", Severity.LOW), violated("over-allocation", Severity.HIGH)),
        (violated("over-allocation", Severity.HIGH, "a"), violated("over-allocation", Severity.HIGH, "a", "b")),
    ],
    ids=["was not there", "was not told", "was less severe", "had fewer variants"],
)
def test_what_the_baseline_does_not_know_counts(before: Finding | None, now: Finding, make_run: Make) -> None:
    terms = known(make_run, *([before] if before else []))
    assert code(make_run(*CLEAN, now), terms) == (1, "violated")


def test_a_known_violation_that_became_milder_is_known(make_run: Make) -> None:
    terms = known(make_run, violated("over-allocation", Severity.CRITICAL, "a", "b"))
    assert code(make_run(*CLEAN, violated("over-allocation", Severity.LOW, "a")), terms)[0] == 0


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (60, (0, "60 reaches the threshold of 60 (D)")),
        (80, (1, "60 is below the threshold of 80 (B)")),
    ],
)
def test_a_threshold_decides_in_place_of_the_verdict(threshold: int, expected: tuple[int, str], make_run: Make) -> None:
    assert code(make_run(*CLEAN, violated()), Terms(threshold)) == expected


def test_below_a_threshold_without_a_violation_nothing_was_told(make_run: Make) -> None:
    assert code(make_run(*CLEAN, open_()), Terms(90)) == (3, "89 is below the threshold of 90 (A)")
    assert code(make_run(*CLEAN, open_()), Terms(80)) == (0, "89 reaches the threshold of 80 (B)")


def test_for_a_threshold_what_is_known_costs_nothing(make_run: Make) -> None:
    baseline = known(make_run, violated()).baseline
    found = make_run(*CLEAN, violated())
    assert code(found, Terms(90, baseline)) == (0, "100 reaches the threshold of 90 (A)")
    assert standing(found[0], found[1], Terms(90, baseline)).score.points == 60
