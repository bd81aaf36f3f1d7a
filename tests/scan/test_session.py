"""What a scan sends is covered by a budget first, and what it reads is compared with what it read before."""

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import BEFORE, BYPASS, DUPLICATES, scan
from tocsin.findings import Verdict
from tocsin.scan import _allowance, _sending

pytestmark = pytest.mark.usefixtures("brisk", "impatient")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sending, "_RETRY_AFTER_S", (0.001, 0.002))


class StopsAtRead(Unlocked):
    """Applies copies twice; stops serving with the n-th read after that has happened."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def read(self, asked: Asked) -> Answer:
        answer = super().read(asked)
        with self.lock:
            if any(count > 1 for count in self.orders.values()):
                self.left -= 1
                self.is_open = self.left > 0
        return answer


def test_a_hit_that_cannot_be_confirmed_any_more_is_told_and_is_no_verdict() -> None:
    finding = scan(StopsAtRead(2), DUPLICATES).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "1 are allowed, and before that could be confirmed: http://127.0.0.1:" in finding.evidence.summary


class StopsBeforeTheBurst(Desk):
    """Stops serving with the last read before the first burst."""

    def read(self, asked: Asked) -> Answer:
        # Control: three reads. Room and twin: two each. The eighth comes right before the burst.
        self.answers_last = True
        self.is_open = sum(earlier.method == "GET" for earlier in self.asked) < 8
        return super().read(asked)


def test_a_burst_that_finds_nobody_listening_leaves_the_check_open() -> None:
    finding = scan(StopsBeforeTheBurst(), DUPLICATES).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "the connection was refused; nothing listens on that port" in finding.evidence.summary


def test_effects_that_were_never_read_count_in_full_until_the_end() -> None:
    class Unreadable(Desk):
        """Its state cannot be read once an order has come."""

        def read(self, asked: Asked) -> Answer:
            return Answer(500) if self.orders_asked() else super().read(asked)

    found = scan(Unreadable(), BYPASS, BEFORE, reset=None, accept_effects=1)

    assert found.findings[BEFORE].evidence.summary == "[[state]] stock was answered 500: wanted 2xx"
    assert found.ended.effects == 0
    assert found.ended.left_behind == (
        "0 effects that were read, and at most 1 more that were not, and what [[setup]] made"
    )


def test_a_budget_says_what_it_was_used_for() -> None:
    finding = scan(Desk(), BEFORE, reset=None, accept_effects=3).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary == ("the budget of 3 effects does not cover 6 more, beside 1 that were read")


def test_more_effects_than_requests_are_somebody_elses() -> None:
    class Exaggerates(Unlocked):
        """A second copy takes more pieces than a whole burst could."""

        def take(self, order: Mapping[str, Any]) -> None:
            super().take(order)
            with self.lock:
                if self.orders[order["order_id"]] > 1:
                    self.stock[order["item"]] -= 30

    finding = scan(Exaggerates(), DUPLICATES).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary.endswith("effects: somebody else writes")


def test_a_set_up_that_hangs_is_sent_once_a_check_and_the_next_check_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_allowance, "_ANSWER_TIMEOUT_S", 0.05)

    class Hangs(Desk):
        """Makes nothing until the scan is over."""

        def make_item(self) -> Answer:
            self.closed.wait(10)
            return super().make_item()

    desk = Hangs()
    found = scan(desk, BYPASS, BEFORE)
    told = "POST /items was not answered in time; it may be done, and is not sent again"
    assert {finding.evidence.summary for finding in found.findings.values()} == {told}
    assert sum(asked.path == "/items" for asked in desk.asked) == 2


def test_a_last_reset_that_hangs_is_sent_once_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_allowance, "_ANSWER_TIMEOUT_S", 0.2)

    class Hangs(Desk):
        """Is brought back once."""

        def reset(self) -> Answer:
            if self.orders:
                self.closed.wait(10)
            return super().reset()

    desk = Hangs()
    found = scan(desk, BYPASS)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert [asked.path for asked in desk.asked].count("/__reset") == 2
    assert found.ended.interrupted == "POST /__reset was not answered in time; it may be done, and is not sent again"
    assert found.ended.left_behind.endswith("; the last [reset] is missing")


def test_a_scan_does_not_wait_for_effects_that_it_has_no_time_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(_allowance, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept.append))
    state = {"name": "taken", "request": "GET /count", "pointer": "/count", "settle_ms": 3000}
    finding = scan(Desk(), BEFORE, state=[state], budget={"seconds": 1}, reset=None, accept_effects=40).finding
    assert finding.evidence.summary == "the budget of 1 s is used up"
    assert not slept


def test_a_service_that_hangs_gets_no_more_time_than_the_scan_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_allowance, "_LEAST_TIMEOUT_S", 0.05)

    class Hangs(Desk):
        """Answers orders when the scan is over."""

        def order(self, _asked: Asked) -> Answer:
            self.closed.wait(10)
            return Answer(0)

    found = scan(Hangs(), BEFORE, budget={"seconds": 0.5})
    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert "the budget of 0.5 s is used up" in found.finding.evidence.summary
