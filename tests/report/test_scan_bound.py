import pytest

from tocsin.findings import Bound, Evidence, Finding, Json, Severity, Verdict
from tocsin.report.scan_bound import joint_limits


def clean(check: str, trials: int = 150, **facts: Json) -> Finding:
    limit = 1 - 0.05 ** (1 / trials) if trials else 1.0
    bound = Bound(trials, "bursts", limit)
    return Finding(check, "?", Verdict.NOT_OBSERVED, Evidence("because", facts), bound=bound)


def test_one_bound_alone_stays_what_it_is() -> None:
    [limit] = joint_limits([clean("a")])
    assert limit.upper_limit == pytest.approx(1 - 0.05 ** (1 / 150))
    assert str(limit) == "a: at most 2.0 % a burst"


def test_several_hold_at_once_at_5_percent_divided_among_them() -> None:
    """That all hold fails in at most the sum of the chances with which each fails: 3 x 0.05 / 3."""
    limits = joint_limits([clean("a"), clean("b", 30), clean("c", 59)])
    chances = [(1 - limit.upper_limit) ** limit.trials for limit in limits]
    assert sum(chances) == pytest.approx(0.05)
    assert [limit.of for limit in limits] == ["a", "b", "c"]
    assert str(limits[1]) == "b: at most 12.8 % a burst"


def test_what_was_asked_for_and_is_not_clean_takes_its_part_of_the_doubt() -> None:
    limits = joint_limits([clean("a"), clean("b", 30)], 5)
    assert [(1 - limit.upper_limit) ** limit.trials for limit in limits] == pytest.approx([0.01, 0.01])


def test_every_clean_variant_is_a_bound_of_its_own() -> None:
    variants: Json = {
        "identical": {"verdict": "NOT_OBSERVED", "valid_bursts": 150},
        "resigned": {"verdict": "NOT_OBSERVED", "valid_bursts": 75},
        "same_nonce": {"verdict": "NOT_APPLICABLE", "reason": "no nonce"},
        "odd": {"verdict": "NOT_OBSERVED", "valid_bursts": "many"},
        "none": {"verdict": "NOT_OBSERVED", "valid_bursts": 0},
        "text": "clean",
    }
    limits = joint_limits([clean("a", variants=variants), clean("b", variants=[])])
    assert [limit.of for limit in limits] == ["a (identical)", "a (resigned)", "b"]


def test_what_states_no_limit_is_not_counted() -> None:
    findings = [
        Finding("a", "?", Verdict.NOT_OBSERVED, Evidence("because"), bound=Bound(48, "replays")),
        Finding("b", "?", Verdict.VIOLATED, Evidence("because"), Severity.LOW, bound=Bound(9, "probes", 0.3)),
        Finding("c", "?", Verdict.INCONCLUSIVE, Evidence("because")),
        clean("d", 0),
    ]
    assert joint_limits(findings) == ()
