"""A rate limiter over every route: reads, set-ups and resets are given the time that it asks for."""

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.scanning import BYPASS, DUPLICATES, scan
from tocsin.findings import Verdict
from tocsin.scan import _sending
from tocsin.scan._backoff import limiter_wait_s
from tocsin.wire import Response

pytestmark = pytest.mark.usefixtures("brisk", "patient")
NOON = 1769860800.0  # Sat, 31 Jan 2026 12:00:00 GMT


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sending, "LIMITED_WAITS_S", (0.001, 0.002))


class LimitedEverywhere(Desk):
    """Turns away every so manieth request that is no order, whatever it is; with `for_good` all that come after it."""

    def __init__(self, every: int, *, status: int = 429, retry_after: str = "0", for_good: bool = False) -> None:
        super().__init__()
        self.every = every
        self.turned_away = Answer(status, None, {"Retry-After": retry_after})
        self.for_good = for_good
        self.come = 0

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.come += asked.path != "/order"
            over = self.come >= self.every if self.for_good else self.come % self.every == 0
            if asked.path != "/order" and over:
                self.asked.append(asked)
                return self.turned_away
        return super().answer(asked)


@pytest.mark.parametrize("status", [429, 503])
def test_a_limiter_over_all_routes_ends_no_scan(status: int) -> None:
    # Every second one: of a reset, a set-up or a read, the first is turned away, or the one after it.
    found = scan(LimitedEverywhere(2, status=status), DUPLICATES, BYPASS)

    assert {finding.verdict for finding in found.findings.values()} == {Verdict.NOT_OBSERVED}
    assert (found.ended.interrupted, found.ended.left_behind) == ("", "")


def test_the_last_reset_waits_for_the_limiter_as_well() -> None:
    class LimitsTheLast(Desk):
        resets = 0

        def reset(self) -> Answer:
            self.resets += 1
            return Answer(429) if self.resets == 2 else super().reset()

    desk = LimitsTheLast()
    assert scan(desk, BYPASS).ended.interrupted == ""
    assert desk.resets == 3


def test_a_limiter_that_lets_nothing_through_is_told() -> None:
    desk = LimitedEverywhere(3, for_good=True)
    finding = scan(desk, BYPASS).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "was answered 429: wanted 2xx" in finding.evidence.summary


def test_a_limiter_that_asks_for_more_time_than_the_scan_has_is_not_waited_for() -> None:
    desk = LimitedEverywhere(1, retry_after="3600", for_good=True)
    found = scan(desk, BYPASS)

    assert found.ended.interrupted == "the reset POST /__reset was answered 429: wanted 2xx"
    assert [asked.path for asked in desk.asked] == ["/__reset"]


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ((), 0.4),
        (("2",), 2),
        ((" 30 ",), 30),
        (("0",), 0.4),
        (("-1",), 0.4),
        (("soon",), 0.4),
        (("9" * 5000,), 0.4),
        (("²",), 0.4),
        (("Sat, 31 Jan 2026 12:00:07 GMT",), 7),
        (("Sat, 31 Jan 2026 11:59:00 GMT",), 0.4),
        (("Sat, 31 Jan 99999999999999999999 00:00:00 GMT",), 0.4),
        (("2", "3"), 2),
    ],
)
def test_a_limiter_says_how_long_in_seconds_or_as_a_date_or_nothing_that_can_be_waited_for(
    said: tuple[str, ...], wait_s: float
) -> None:
    response = Response(429, tuple(("Retry-After", value) for value in said), b"")
    assert limiter_wait_s(response, 0.4, now_unix=NOON) == wait_s
