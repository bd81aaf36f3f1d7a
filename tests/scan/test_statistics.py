import pytest

from tocsin.scan._statistics import WANTED_IDENTICAL_BURSTS, upper_limit


def test_without_a_clean_trial_nothing_is_excluded() -> None:
    assert upper_limit(0) == 1.0


@pytest.mark.parametrize("clean", [1, 2, 59, 150, 400])
def test_a_probability_at_the_limit_would_have_stayed_unseen_in_one_scan_of_twenty(clean: int) -> None:
    assert (1 - upper_limit(clean)) ** clean == pytest.approx(0.05)


def test_150_clean_bursts_exclude_more_than_two_percent_and_59_more_than_five() -> None:
    assert upper_limit(WANTED_IDENTICAL_BURSTS) < 0.02 < upper_limit(WANTED_IDENTICAL_BURSTS - 2)
    assert upper_limit(59) < 0.05 < upper_limit(58)
