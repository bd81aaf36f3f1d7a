import math
import random

import pytest

from bench._dice import World
from bench.coverage_simulation import (
    BOUNDS,
    WORLDS,
    Share,
    always,
    just_above,
    one_check,
    raced,
    seen,
    whole_scan,
)
from tocsin.findings import Verdict
from tocsin.scan import _race
from tocsin.scan._statistics import WANTED_IDENTICAL_BURSTS, scan_wide_limit, upper_limit


def test_without_a_clean_trial_nothing_is_excluded() -> None:
    assert upper_limit(0) == 1.0


@pytest.mark.parametrize("clean", [1, 2, 59, 150, 400])
def test_a_probability_at_the_limit_would_have_stayed_unseen_in_one_scan_of_twenty(clean: int) -> None:
    assert (1 - upper_limit(clean)) ** clean == pytest.approx(0.05)


def test_150_clean_bursts_exclude_more_than_two_percent_and_59_more_than_five() -> None:
    assert upper_limit(WANTED_IDENTICAL_BURSTS) < 0.02 < upper_limit(WANTED_IDENTICAL_BURSTS - 2)
    assert upper_limit(59) < 0.05 < upper_limit(58)


@pytest.mark.parametrize("bursts", [*range(1, 60), 150, 400])
def test_no_probability_above_the_bound_stays_unseen_more_often_than_in_5_of_100_scans(bursts: int) -> None:
    """Exact: a scan states a bound of n bursts only where the first n were clean, wherever it stopped."""
    for p in (just_above(bursts), *(place / 200 for place in range(1, 200))):
        if p > upper_limit(bursts):
            assert (1 - p) ** bursts <= 0.05 + 1e-12


def wrong_statements(clean: int, racy: int, bursts: int, p: float, *, by_clean: bool = False) -> float:
    """How likely a statement over a scan is wrong: binomial sums over how many of the racy ones stay unseen."""
    unseen = (1 - p) ** bursts
    return sum(
        math.comb(racy, count) * unseen**count * (1 - unseen) ** (racy - count)
        for count in range(1, racy + 1)
        if p > scan_wide_limit([bursts], clean + count if by_clean else clean + racy)
    )


@pytest.mark.parametrize(("clean", "racy"), [(0, 1), (0, 8), (1, 7), (1, 9), (4, 4), (7, 1)])
@pytest.mark.parametrize("bursts", [30, 59, 150])
def test_a_statement_over_a_whole_scan_is_wrong_in_at_most_5_of_100_scans(clean: int, racy: int, bursts: int) -> None:
    worst = max(wrong_statements(clean, racy, bursts, place / 2000) for place in range(1, 2000))
    assert worst <= 0.05


def test_divided_by_the_clean_bounds_alone_it_would_be_wrong_in_18_of_100() -> None:
    worst = max(wrong_statements(1, 9, 59, place / 2000, by_clean=True) for place in range(1, 2000))
    assert worst == pytest.approx(0.18, abs=0.03)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_real_stopping_rule_states_a_wrong_bound_no_more_often(world: World) -> None:
    share, told = one_check(world, 60, random.Random(3))
    assert share.holds
    assert isinstance(told["verdicts"], dict)
    assert sum(told["verdicts"].values()) == 60


def test_a_race_that_went_on_after_its_first_hit_and_forgot_it_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tocsin.scan._race._played",
        lambda *given: [(members, one, "") for members, one, _ in _race._delivered(*given)],
    )
    told = [raced(WORLDS[0], 20, random.Random(seed)) for seed in range(60)]
    assert {one.verdict for one in told} == {Verdict.NOT_OBSERVED}
    told = [raced(WORLDS[3], 150, random.Random(seed)) for seed in range(60)]
    assert not Share(sum(one.is_wrong for one in told), 60).holds


def test_a_whole_scan_of_real_races_states_nothing_wrong_more_often() -> None:
    share, _ = whole_scan(len(BOUNDS) - 1, 2, 40, random.Random(3))
    assert share.holds


def test_a_judged_burst_stops_at_its_first_hit_and_counts_only_what_was_valid() -> None:
    rng = random.Random(3)
    assert seen(World("", always(1.0)), 30, rng).verdict is Verdict.VIOLATED
    clean = seen(World("", always(0.0), void=0.3), 30, rng)
    assert (clean.verdict, clean.bursts, clean.truth) == (Verdict.NOT_OBSERVED, 30, 0.0)
