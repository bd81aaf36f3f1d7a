"""Effects that arrive later than their answers: waited for, together where each burst has a state of its own."""

import threading
from collections import Counter
from typing import Any

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import DUPLICATES, LIMITS, Scan, scan
from tocsin.events import BurstCollected, CheckStarted
from tocsin.findings import Verdict
from tocsin.scan import _race, _session

LATE_S = 0.06
ITEM = {"name": "stock", "request": "GET /items/{{item}}", "pointer": "/stock", "per_effect": -1, "settle_ms": 150}
pytestmark = pytest.mark.usefixtures("brisk")


class Late(Desk):
    """Writes an order down at once, and takes the piece a little later."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[threading.Timer] = []

    def take(self, order: Any) -> None:
        with self.lock:
            self.orders[order["order_id"]] += 1
            self.taken += 1
        timer = threading.Timer(LATE_S, self.take_later, (order["item"],))
        self.timers.append(timer)
        timer.start()

    def take_later(self, item: str) -> None:
        with self.lock:
            self.stock[item] -= 1

    def is_left(self, _order: Any) -> bool:
        return True


class LateTwice(Unlocked, Late):
    """Looks, then writes; and takes both pieces a little later."""

    def __init__(self) -> None:
        Late.__init__(self)
        self.window = Unlocked().window


def settled(desk: Late, *checks: str, **changed: Any) -> Scan:
    found = scan(desk, *checks, **{"state": [ITEM], "limits": None, **changed})
    for timer in desk.timers:
        timer.join()
    return found


class TakesDuplicatesLater(Unlocked):
    """Looks, then writes; what is taken too much shows at the third look at an item's stock."""

    def __init__(self) -> None:
        super().__init__()
        self.late: Counter[str] = Counter()
        self.looks: Counter[str] = Counter()

    def take(self, order: Any) -> None:
        with self.lock:
            is_first = not self.orders[order["order_id"]]
            super().take(order)
            self.stock[order["item"]] += not is_first
            self.late[order["item"]] += not is_first

    def read(self, asked: Asked) -> Answer:
        item = asked.path.rpartition("/")[2]
        with self.lock:
            self.looks[item] += 1
            if self.looks[item] == 3:
                self.stock[item] -= self.late[item]
            return super().read(asked)


class GivesBack(Desk):
    """An order takes a piece, which is back at the second look after it."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: dict[str, int] = {}

    def take(self, order: Any) -> None:
        super().take(order)
        self.looks[order["item"]] = 0

    def read(self, asked: Asked) -> Answer:
        item = asked.path.rpartition("/")[2]
        with self.lock:
            if item in self.looks:
                self.looks[item] += 1
                self.stock[item] += self.looks[item] == 2
            return super().read(asked)


def test_the_first_bursts_are_looked_at_again_for_what_came_later_than_the_plan_says() -> None:
    finding = scan(TakesDuplicatesLater(), DUPLICATES).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "of a burst came after it had settled (stock = 4; then stock = " in finding.evidence.summary


def test_what_is_given_back_later_is_no_effect() -> None:
    assert scan(GivesBack(), DUPLICATES).finding.verdict is Verdict.NOT_OBSERVED


def test_an_effect_that_arrives_late_is_waited_for() -> None:
    assert settled(Late(), DUPLICATES).finding.verdict is Verdict.NOT_OBSERVED
    assert settled(LateTwice(), DUPLICATES).finding.verdict is Verdict.VIOLATED


def test_who_says_that_effects_are_there_with_the_answer_is_told_that_they_are_not() -> None:
    finding = settled(Late(), DUPLICATES, state=[ITEM | {"settle_ms": 0}]).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "had 0 effects" in finding.evidence.summary


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bursts had been delivered at each settling."""
    seen: list[int] = []
    delivered = 0
    deliver, settle = _session.Session.deliver, _session.Session.settle

    def counting(self: _session.Session, *args: Any, **kwargs: Any) -> Any:
        nonlocal delivered
        delivered += 1
        return deliver(self, *args, **kwargs)

    def noting(self: _session.Session) -> None:
        nonlocal delivered
        seen.append(delivered)
        delivered = 0
        settle(self)

    monkeypatch.setattr(_session.Session, "deliver", counting)
    monkeypatch.setattr(_session.Session, "settle", noting)
    return seen


def test_bursts_on_resources_of_their_own_settle_together(waits: list[int]) -> None:
    assert settled(Late(), DUPLICATES).finding.verdict is Verdict.NOT_OBSERVED
    assert max(waits) == _race._TOGETHER


def test_bursts_on_one_state_for_all_settle_one_by_one(waits: list[int]) -> None:
    total = {"name": "taken", "request": "GET /count", "pointer": "/count", "settle_ms": 50}
    found = settled(Late(), DUPLICATES, state=[total])
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert max(waits) == 1


def test_bursts_on_a_resource_that_only_a_reset_renews_settle_one_by_one(waits: list[int]) -> None:
    class One(Desk):
        def __init__(self) -> None:
            super().__init__()
            self.stock["one"] = 5

        def reset(self) -> Answer:
            self.stock["one"] = 5
            return Answer(204)

    limits = {"effects": 5, "per": ["item"], "floor": 0}
    changed: dict[str, Any] = {"setup": None, "variables": {"item": {"value": "one"}}, "limits": limits}
    found = scan(One(), LIMITS, state=[ITEM | {"settle_ms": 20}], **changed)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert max(waits) == 1


def test_every_burst_is_told_and_each_with_its_own_effects() -> None:
    found = settled(Late(), DUPLICATES)
    bursts = [event for event in found.events if isinstance(event, BurstCollected) and not event.void]
    assert {burst.effects for burst in bursts} == {1}
    assert len([event for event in found.events if isinstance(event, CheckStarted)]) == 1


def test_a_desk_that_takes_later_takes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wait, a race whose effects arrive late is a clean one, or none at all."""
    monkeypatch.setattr(_session.Session, "settle", lambda _: None)
    found = settled(LateTwice(), DUPLICATES)
    assert found.finding.verdict is Verdict.INCONCLUSIVE
