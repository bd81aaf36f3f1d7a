import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scan.services_more.asking import ask, fact
from tests.scan.services_more.shop import Answer, Asked, Shop
from tocsin.findings import Severity, Verdict
from tocsin.scan.checks import stale_timestamp
from tocsin.scan.checks.stale_timestamp import CHECK

SIGNING = {"content": "{timestamp}.{body}", "timestamp_header": "X-Timestamp"}
DATED = '{"id":"{{uuid}}","at":{{timestamp}}}'


class Timed(Shop):
    """Refuses what is more than five minutes from its own time."""

    back_s = 300.0
    ahead_s = 300.0
    ahead_of_us_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_of_us_s

    def content(self, asked: Asked) -> bytes:
        return asked.header("X-Timestamp").encode() + b"." + asked.body

    def is_timely(self, asked: Asked) -> bool:
        return -self.ahead_s <= self.now() - int(asked.header("X-Timestamp")) <= self.back_s


class Timeless(Timed):
    """The key defence removed: a signed timestamp that nobody looks at."""

    def is_timely(self, _asked: Asked) -> bool:
        return True


def test_five_minutes_of_tolerance_are_found_to_the_second_or_two() -> None:
    finding = ask(CHECK, Timed(), signing=SIGNING)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "probes").values()) == {"refused"}
    for direction in ("back", "ahead"):
        boundary = fact(finding, "boundary", direction)
        assert 296 <= boundary["accepted_s"] < boundary["refused_s"] <= 304
    assert "3 days ahead" in fact(finding, "probes")


def test_a_timestamp_that_nobody_looks_at_is_accepted_three_days_back_and_ahead() -> None:
    finding = ask(CHECK, Timeless(), signing=SIGNING)
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert (finding.effects, finding.allowed_effects) == (6, 0)
    assert fact(finding, "boundary", "back") == {"accepted_s": 259_200, "refused_s": None}
    assert "back, even 3 days are accepted" in finding.evidence.summary
    assert "15 minutes back, 15 minutes ahead, 1 hour back" in finding.evidence.summary
    assert finding.remedy is not None
    assert finding.remedy.guard_call


def test_an_unsigned_timestamp_is_nothing_that_the_guard_would_look_at() -> None:
    class Unsigned(Timeless):
        def content(self, asked: Asked) -> bytes:
            return asked.body

    finding = ask(CHECK, Unsigned(), signing=SIGNING | {"content": "{body}"})
    assert finding.verdict is Verdict.VIOLATED
    assert finding.remedy is not None
    assert not finding.remedy.guard_call


def test_a_quarter_of_an_hour_is_too_much_and_less_bad_than_hours() -> None:
    class Lenient(Timed):
        back_s = 1000.0

    finding = ask(CHECK, Lenient(), signing=SIGNING)
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.LOW)
    boundary = fact(finding, "boundary", "back")
    assert 996 <= boundary["accepted_s"] < boundary["refused_s"] <= 1004


def test_the_future_counts_as_well_as_the_past() -> None:
    class OnlyThePast(Timed):
        ahead_s = 10.0**9

    finding = ask(CHECK, OnlyThePast(), signing=SIGNING)
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert fact(finding, "probes", "3 days ahead") == "accepted"
    assert fact(finding, "probes", "3 days back") == "refused"


def test_a_success_without_an_effect_is_no_acceptance() -> None:
    class SaysYes(Timed):
        def order(self, asked: Asked) -> Answer:
            return super().order(asked) if self.is_timely(asked) else Answer(200, {"status": "ignored"})

    assert ask(CHECK, SaysYes(), signing=SIGNING).verdict is Verdict.NOT_OBSERVED


def test_the_timestamp_in_the_body_moves_with_the_signed_one() -> None:
    class Both(Timeless):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            order = super().parse(asked)
            return order if order and order["at"] == int(asked.header("X-Timestamp")) else None

    finding = ask(CHECK, Both(), signing=SIGNING, request={"body": DATED})
    assert finding.verdict is Verdict.VIOLATED
    assert set(fact(finding, "probes").values()) == {"accepted"}


@pytest.mark.parametrize("ahead_s", [5400.0, -5400.0])
def test_a_service_with_another_clock_is_asked_by_its_own(ahead_s: float) -> None:
    class Elsewhen(Timed):
        ahead_of_us_s = ahead_s

    finding = ask(CHECK, Elsewhen(), signing=SIGNING)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert abs(fact(finding, "clock_offset_s") - ahead_s) <= 2
    assert 294 <= fact(finding, "boundary", "back", "accepted_s") <= 306


@pytest.mark.parametrize(
    "date",
    [
        None,
        "yesterday",
        "Mon, 01 Jan 1900 00:00:00 GMT",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2001 00:00:00 +99999999999999",
        "Mon, 01 Jan 2001 00:00:00 GMT",
    ],
    ids=["none", "junk", "absurd", "no year of a clock", "no zone of the earth", "a cache's"],
)
def test_without_a_date_that_is_its_own_the_clocks_are_taken_for_equal(date: str | None) -> None:
    class Undated(Timed):
        def date(self) -> str | None:
            return date

    finding = ask(CHECK, Undated(), signing=SIGNING)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "clock_offset_s") == 0


def test_a_scheme_without_timestamp_is_not_applicable() -> None:
    finding = ask(CHECK, Shop())
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "sends no timestamp" in finding.evidence.summary


def test_where_no_honest_request_is_accepted_nothing_can_be_told() -> None:
    finding = ask(CHECK, Timed(), signing=SIGNING | {"secret": {"value": "another"}, "content": "{body}.{timestamp}"})
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "honest request was answered 401" in finding.evidence.summary


def test_a_service_that_refuses_one_honest_request_and_takes_the_next_is_unsure_ground() -> None:
    class Fickle(Timed):
        orders = 0

        def order(self, asked: Asked) -> Answer:
            self.orders += 1
            return Answer(409) if self.orders == 1 else super().order(asked)

    finding = ask(CHECK, Fickle(), signing=SIGNING)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "one valid request was refused" in finding.evidence.summary


def test_a_search_that_the_budget_ends_says_between_what_the_boundary_lies() -> None:
    finding = ask(CHECK, Timed(), signing=SIGNING, budget={"requests": 40})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert "40 requests" in fact(finding, "cut_short")
    boundary = fact(finding, "boundary", "back")
    assert boundary["accepted_s"] <= 300 <= boundary["refused_s"]


def test_a_search_whose_share_of_the_time_is_over_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_timestamp, "_RESOLUTION_S", -1.0)
    finding = ask(CHECK, Timed(), signing=SIGNING, budget={"seconds": 1})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "cut_short")


def test_a_search_whose_time_is_over_sends_nothing_more() -> None:
    boundary = stale_timestamp._Boundary("back", 0, 900)
    over: Any = SimpleNamespace(until=0.0)
    stale_timestamp._bisect(over, 0.0, boundary, -1)
    assert (boundary.accepted_s, boundary.refused_s) == (0, 900)
