"""After a hit: how few requests are enough, and what all clean bounds of a run say together."""

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import OncePerOrder, Unlocked
from tests.scan.services.scanning import DUPLICATES, LIMITS, scan
from tocsin.scan._statistics import is_even, scan_wide

pytestmark = pytest.mark.usefixtures("brisk")


def test_two_requests_are_enough_where_two_meet_in_the_window() -> None:
    found = scan(Unlocked(), DUPLICATES)
    assert "; 2 requests are enough (" in found.finding.evidence.summary
    assert found.fact("variants", "identical", "smallest").startswith("2 requests are enough (")
    assert found.fact("linearizable") == {"model": "once-only set", "fits": False}


class TenAtOnce(Desk):
    """Applies again whatever comes while nine others are on their way."""

    def __init__(self) -> None:
        super().__init__(stock=100)
        self.inside = 0
        self.crowded = False

    def order(self, asked: Asked) -> Answer:
        with self.lock:
            self.inside += 1
            self.crowded = self.crowded or self.inside >= 8
        self.closed.wait(0.05)
        with self.lock:
            answer = super().order(asked)
            self.inside -= 1
            if not self.inside:
                self.crowded = False
        return answer

    def is_new(self, order: object, asked: Asked) -> bool:
        return self.crowded or super().is_new(order, asked)  # type: ignore[arg-type]


def test_where_a_crowd_is_needed_smaller_bursts_are_tried_and_told() -> None:
    found = scan(TenAtOnce(), DUPLICATES)
    smallest = found.fact("variants", "identical", "smallest")
    assert smallest.startswith(
        ("10 requests are enough (", "16 requests are enough (", "fewer requests did not hit: 2")
    )


def test_an_over_allocation_is_no_order_of_a_counter_with_a_floor() -> None:
    found = scan(OncePerOrder(), LIMITS)
    assert found.fact("linearizable") == {"model": "counter with floor", "fits": False}
    assert "requests are enough (" in found.finding.evidence.summary


def test_all_clean_bounds_of_a_run_make_one_statement() -> None:
    found = scan(Desk(), DUPLICATES, LIMITS)
    assert found.ended.statement.startswith("All 2 clean bounds together, at 95 %: no probability per burst is above ")
    assert scan(Desk(), LIMITS).ended.statement == ""
    assert scan(Unlocked(), DUPLICATES).ended.statement == ""


def test_the_doubt_of_five_percent_is_divided_among_the_bounds() -> None:
    # 1 - 0.025^(1/59) = 6.06 %, where one bound of 59 bursts alone says 4.95 %.
    assert scan_wide([150, 59], 2) == (
        "All 2 clean bounds together, at 95 %: no probability per burst is above 6.1 % "
        "(each at 97.50 %; the weakest has 59 bursts)"
    )
    assert scan_wide([59], 1) == scan_wide([], 0) == scan_wide([], 3) == ""


def test_a_bound_that_was_asked_for_and_is_not_clean_takes_its_part_of_the_doubt_as_well() -> None:
    # 1 - (0.05/3)^(1/59) = 6.71 %.
    assert scan_wide([150, 59], 3) == (
        "All 2 clean bounds together of 3 that were asked for, at 95 %: no probability per burst is above 6.8 % "
        "(each at 98.33 %; the weakest has 59 bursts)"
    )
    assert scan_wide([59], 2).startswith("The only clean bound of 2 that were asked for, at 95 %: no probability")
    found = scan(OncePerOrder(), DUPLICATES, LIMITS)
    assert found.ended.statement.startswith("The only clean bound of 2 that were asked for")


@pytest.mark.parametrize(
    ("first", "of", "even"),
    [(0, 0, True), (50, 100, True), (10, 10, True), (20, 20, True), (21, 21, False), (0, 21, False), (77, 100, False)],
)
def test_a_coin_is_judged_exactly(first: int, of: int, *, even: bool) -> None:
    # Two-sided: 21 of 21 has probability 2 / 2^21 = 9.5e-7, and 20 of 20 has 1.9e-6.
    assert is_even(first, of, alpha=1e-6) is even
