from collections.abc import Callable

import pytest

from tocsin.findings import (
    EXIT_CODES,
    Bound,
    Evidence,
    Finding,
    Severity,
    Verdict,
    worst_first,
    worst_verdict,
)

Make = Callable[..., Finding]


@pytest.fixture
def finding() -> Make:
    def make(verdict: Verdict, severity: Severity | None = None, check: str = "") -> Finding:
        by_default = Severity.HIGH if verdict is Verdict.VIOLATED else Severity.NONE
        return Finding(
            check=check or verdict.lower(),
            title="?",
            verdict=verdict,
            severity=by_default if severity is None else severity,
            evidence=Evidence("because"),
            bound=Bound(1, "bursts") if verdict is Verdict.NOT_OBSERVED else None,
        )

    return make


def test_a_violation_has_a_severity(finding: Make) -> None:
    with pytest.raises(ValueError, match="a severity goes with VIOLATED"):
        finding(Verdict.VIOLATED, Severity.NONE)


@pytest.mark.parametrize("verdict", [Verdict.NOT_OBSERVED, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE])
def test_nothing_but_a_violation_has_a_severity(finding: Make, verdict: Verdict) -> None:
    with pytest.raises(ValueError, match="with nothing else"):
        finding(verdict, Severity.LOW)


def test_not_observed_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="NOT_OBSERVED without a bound"):
        Finding("a", "?", Verdict.NOT_OBSERVED, Evidence("because"))


def test_a_bound_is_a_sentence() -> None:
    said = str(Bound(150, "bursts", 0.02, "the budget ended"))
    assert said.startswith("0 of 150 bursts: at most 2.0")
    assert said.endswith("a burst (95 % upper limit); the budget ended")


def test_a_bound_without_a_limit_claims_none() -> None:
    assert str(Bound(48, "replays")) == "0 of 48 replays"


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (tuple(Verdict), Verdict.VIOLATED),
        ((Verdict.NOT_OBSERVED, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE), Verdict.INCONCLUSIVE),
        ((Verdict.NOT_APPLICABLE, Verdict.NOT_OBSERVED), Verdict.NOT_OBSERVED),
        ((Verdict.NOT_APPLICABLE,), Verdict.NOT_APPLICABLE),
        ((), Verdict.INCONCLUSIVE),
    ],
)
def test_a_run_is_as_bad_as_its_worst_check(finding: Make, verdicts: tuple[Verdict, ...], worst: Verdict) -> None:
    assert worst_verdict(map(finding, verdicts)) is worst


def test_a_check_that_never_concluded_leaves_the_run_inconclusive(finding: Make) -> None:
    clean = finding(Verdict.NOT_OBSERVED, check="a")
    assert worst_verdict([clean], ["a"]) is Verdict.NOT_OBSERVED
    assert worst_verdict([clean], ["a", "b"]) is Verdict.INCONCLUSIVE


def test_a_violation_stays_one_when_other_checks_never_concluded(finding: Make) -> None:
    assert worst_verdict([finding(Verdict.VIOLATED)], ["violated", "b"]) is Verdict.VIOLATED


def test_two_findings_of_one_check_both_count(finding: Make) -> None:
    both = [finding(Verdict.VIOLATED, check="a"), finding(Verdict.NOT_OBSERVED, check="a")]
    assert worst_verdict(both, ["a"]) is Verdict.VIOLATED


def test_the_worst_comes_first_and_equals_keep_their_order(finding: Make) -> None:
    found = [
        finding(Verdict.NOT_APPLICABLE, check="f"),
        finding(Verdict.NOT_OBSERVED, check="e"),
        finding(Verdict.INCONCLUSIVE, check="d"),
        finding(Verdict.VIOLATED, Severity.LOW, "c"),
        finding(Verdict.VIOLATED, Severity.CRITICAL, "a"),
        finding(Verdict.VIOLATED, Severity.CRITICAL, "b"),
    ]
    assert [one.check for one in worst_first(found)] == ["a", "b", "c", "d", "e", "f"]


def test_only_a_check_that_ran_clean_gives_exit_code_0() -> None:
    assert {verdict for verdict in Verdict if EXIT_CODES[verdict] == 0} == {Verdict.NOT_OBSERVED}
    assert EXIT_CODES[Verdict.VIOLATED] == 1
