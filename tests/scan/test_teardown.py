"""What set-ups have made is undone at the end, and a budget keeps the requests for it."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.scanning import BYPASS, DUPLICATES, scan
from tocsin.findings import Verdict
from tocsin.scan import _allowance

TEARDOWN: dict[str, Any] = {"teardown": [{"request": "POST /items/{{item}}/close"}], "reset": None}
pytestmark = pytest.mark.usefixtures("brisk")


class Closing(Desk):
    """Items can be closed; with `closes` false they cannot."""

    closes = True

    def answer(self, asked: Asked) -> Answer:
        if asked.path.endswith("/close"):
            with self.lock:
                self.asked.append(asked)
                self.stock.pop(asked.path.split("/")[2], None)
            return Answer(204 if self.closes else 500)
        return super().answer(asked)


class Stuck(Closing):
    closes = False


def test_every_item_that_was_made_is_closed_at_the_end() -> None:
    desk = Closing()
    found = scan(desk, BYPASS, DUPLICATES, accept_effects=900, **TEARDOWN)
    made = sum(asked.path == "/items" for asked in desk.asked)
    assert made > 5
    assert sum(asked.path.endswith("/close") for asked in desk.asked) == made
    assert not desk.stock
    assert found.ended.left_behind == f"{found.ended.effects} effects that were read"


def test_a_teardown_that_fails_is_said() -> None:
    found = scan(Stuck(), BYPASS, accept_effects=400, **TEARDOWN)
    assert "and what [[setup]] made ([[teardown]]: the teardown POST /items/{{item}}/close was answered 500" in (
        found.ended.left_behind
    )


def test_a_teardown_that_hangs_is_sent_once_and_the_scan_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_allowance, "_ANSWER_TIMEOUT_S", 0.05)

    class Hangs(Closing):
        def answer(self, asked: Asked) -> Answer:
            if asked.path.endswith("/close"):
                with self.lock:
                    self.asked.append(asked)
                self.closed.wait(10)
                return Answer(0)
            return super().answer(asked)

    desk = Hangs()
    found = scan(desk, BYPASS, accept_effects=400, **TEARDOWN)
    made = sum(asked.path == "/items" for asked in desk.asked)
    assert sum(asked.path.endswith("/close") for asked in desk.asked) == 1
    assert found.ended.left_behind.endswith(
        "and what [[setup]] made ([[teardown]]: POST /items/{{item}}/close was not answered in time; it may be done, "
        f"and is not sent again; {made} were not undone)"
    )


def test_what_no_time_is_left_to_undo_is_told_even_where_the_reset_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_allowance, "LEAST_GRACE_S", 0.5)
    monkeypatch.setattr(_allowance, "_GRACE_SHARE", 0.0)

    class Late(Closing):
        """The clock of the scan is not waited for: what it has for its end is over with the first teardown."""

        def answer(self, asked: Asked) -> Answer:
            if asked.path.endswith("/close"):
                moved.append(0.3)
            return super().answer(asked)

    moved: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 20 * sum(moved), sleep=time.sleep)
    monkeypatch.setattr(_allowance, "time", clock)
    desk = Late()
    found = scan(desk, BYPASS, teardown=TEARDOWN["teardown"], budget={"seconds": 5})
    made = sum(asked.path == "/items" for asked in desk.asked)
    assert sum(asked.path.endswith("/close") for asked in desk.asked) == 1
    assert desk.asked[-1].path == "/__reset"
    assert found.ended.left_behind == (
        "what [[setup]] made ([[teardown]]: the 0.5 s for bringing the state back are over; "
        f"{made - 1} were not undone)"
    )


def test_requests_are_kept_for_it_out_of_the_budget() -> None:
    desk = Closing()
    found = scan(desk, DUPLICATES, accept_effects=900, budget={"requests": 60}, **TEARDOWN)
    assert found.ended.requests <= 60
    assert not desk.stock
    assert "the budget of 60 requests is used up" in found.finding.evidence.summary


def test_a_setup_that_failed_has_made_nothing_to_undo() -> None:
    class Empty(Closing):
        def make_item(self) -> Answer:
            return Answer(500)

    desk = Empty()
    assert scan(desk, BYPASS, accept_effects=900, **TEARDOWN).finding.verdict is Verdict.INCONCLUSIVE
    assert not any(asked.path.endswith("/close") for asked in desk.asked)
