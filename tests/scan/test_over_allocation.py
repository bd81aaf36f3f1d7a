"""Distinct requests at once on one resource: more effects than it admits, a floor undershot, or an update lost."""

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import LosesUpdates, OncePerOrder, Unlocked
from tests.scan.services.scanning import DUPLICATES, LIMITS, TOTAL, Scan, scan
from tocsin.events import BurstCollected
from tocsin.findings import Severity, Verdict
from tocsin.scan.checks import over_allocation

pytestmark = pytest.mark.usefixtures("brisk")


def allocated(desk: Desk, **changed: Any) -> Scan:
    return scan(desk, LIMITS, **changed)


def test_overselling_is_violated_with_the_count_that_was_allowed_and_a_clean_sequential_twin() -> None:
    found = allocated(Unlocked())
    finding = found.finding

    assert (finding.verdict, finding.severity, finding.allowed_effects) == (Verdict.VIOLATED, Severity.HIGH, 5)
    assert finding.effects is not None
    assert finding.effects > 5
    assert (found.fact("kind"), found.fact("also_sequential")) == ("over_allocation", False)
    assert found.fact("sequential", "effects") == 5
    assert f"had {finding.effects} effects; 5 are allowed (stock = 5; then stock = {5 - finding.effects})." in (
        finding.evidence.summary
    )
    assert finding.remedy is not None
    assert finding.remedy.text.startswith("The limit is checked against a state")
    assert finding.evidence.timeline is not None


def test_a_service_that_only_remembers_orders_oversells_without_any_duplicate() -> None:
    found = scan(OncePerOrder(), LIMITS, DUPLICATES)
    assert found.findings[LIMITS].verdict is Verdict.VIOLATED
    assert found.findings[DUPLICATES].verdict is Verdict.NOT_OBSERVED


def test_an_update_that_is_lost_is_told_apart_from_overselling() -> None:
    found = allocated(LosesUpdates())

    assert found.finding.verdict is Verdict.VIOLATED
    assert found.fact("kind") == "lost_update"
    assert found.fact("effects") < found.fact("burst", "successes")
    assert "were answered as accepted ones are, " in found.finding.evidence.summary
    assert found.fact("sequential", "effects") == found.fact("sequential", "successes") == 5


class SaysYesToAll(Desk):
    """Answers 200 to those that get nothing, too."""

    def signed(self, asked: Asked) -> Answer:
        super().signed(asked)
        return self.accepted()


def test_a_success_without_an_effect_is_no_lost_update_where_it_is_one_after_the_other_too() -> None:
    assert allocated(SaysYesToAll()).finding.verdict is Verdict.NOT_OBSERVED


class SaysBusy(Unlocked):
    """Whoever comes with somebody else, and second, is told 202 and to come again; the others one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = threading.Lock()

    def signed(self, asked: Asked) -> Answer:
        if self.window.meet() and not self.first.acquire(blocking=False):
            return Answer(202, {"status": "busy, send it again"})
        with self.lock:
            return super().signed(asked)

    def before_taking(self) -> None:
        """Nothing: it has the lock."""

    def make_item(self) -> Answer:
        self.first = threading.Lock()
        return super().make_item()


class Queues(OncePerOrder):
    """Answers by the stock that it sees, and decides later, one after the other: a queue in front of a worker."""

    def take(self, order: Mapping[str, Any]) -> None:
        with self.lock:
            if self.stock[order["item"]] > 0:
                super().take(order)


@pytest.mark.parametrize("desk", [SaysBusy, Queues])
def test_a_success_that_means_later_is_no_lost_update(desk: type[Desk]) -> None:
    found = allocated(desk())
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    later = [burst for burst in found.bursts if burst.effects is not None and burst.effects < _successes(burst)]
    assert later


def _successes(burst: BurstCollected) -> int:
    return sum(count for status, count in burst.history.statuses().items() if status.startswith("2"))


class NoLimit(Desk):
    """Never looks at the stock."""

    def is_left(self, _order: Mapping[str, Any]) -> bool:
        return True


def test_where_nothing_enforces_the_limit_the_remedy_does_not_speak_of_a_race() -> None:
    found = allocated(NoLimit())

    assert found.finding.verdict is Verdict.VIOLATED
    assert found.fact("also_sequential") is True
    assert found.finding.remedy is not None
    assert found.finding.remedy.text.startswith("Nothing enforces the limit, even one request after the other.")


def test_a_correct_service_is_clean_and_half_of_the_bursts_are_small() -> None:
    found = allocated(Desk())
    bound = found.finding.bound

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert bound is not None
    sizes: Counter[str] = Counter()
    for kind, count in bound.mixture.items():
        sizes[kind.partition(" ")[2]] += count
    assert sizes == {"n=20": 1, "n=15": 1, "n=10": 1, "n=6": 3}


def test_a_large_resource_is_first_used_up_to_its_last_five() -> None:
    desk = Desk(stock=30)
    found = allocated(desk, limits={"effects": 30, "per": ["item"]}, budget={"requests": 500})

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.finding.allowed_effects == 5
    assert found.fact("sequential", "state_before") == "stock = 5"


class LocksAtFirstTouch(Desk):
    """Makes an item's lock with the first order: whoever comes at the same moment makes another one."""

    crowd = 6

    def __init__(self, *, stock: int) -> None:
        super().__init__(stock=stock)
        self.locks: dict[str, threading.Lock] = {}
        self.changed = threading.Condition()
        self.come: Counter[str] = Counter()

    def meet(self, place: str) -> None:
        """Wait for a crowd at a place, and go on together."""
        with self.changed:
            self.come[place] += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.come[place] >= self.crowd, timeout=0.02)

    def one_at_a_time(self) -> AbstractContextManager[object]:
        return nullcontext()

    def signed(self, asked: Asked) -> Answer:
        item = asked.document["item"]
        lock = self.locks.get(item)
        if lock is None:
            self.meet(item)
            lock = self.locks[item] = threading.Lock()
        with lock:
            return super().signed(asked)

    def take(self, order: Mapping[str, Any]) -> None:
        item = order["item"]
        seen = self.stock[item]
        if self.come[item] >= self.crowd:
            self.meet(f"{item}, at work")
        with self.lock:
            self.orders[order["order_id"]] += 1
            self.stock[item] = seen - 1


def test_a_small_resource_is_raced_untouched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"effects": 12, "per": ["item"]}
    found = allocated(LocksAtFirstTouch(stock=12), limits=limits)
    assert found.finding.verdict is Verdict.VIOLATED
    assert (found.finding.allowed_effects, found.fact("kind")) == (12, "lost_update")
    assert int(found.fact("came_back").split()[0]) > 1

    monkeypatch.setattr(over_allocation, "_MOST_AT_ONCE", 5)
    clean = allocated(LocksAtFirstTouch(stock=12), limits=limits).finding
    assert clean.verdict is Verdict.NOT_OBSERVED
    assert clean.bound is not None
    assert clean.bound.detail == "each after 7 of the resource were used up one after the other"


def test_a_limit_that_is_larger_than_the_resource_is_not_believed() -> None:
    finding = allocated(Desk(stock=10), limits={"effects": 30, "per": ["item"]}).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary == "25 valid requests one after the other had 10 effects: wanted 25"


def test_a_resource_too_large_to_use_up_asks_for_a_smaller_one() -> None:
    finding = allocated(Desk(stock=900), limits={"effects": 900, "per": ["item"]}).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary.startswith("the resource admits 900 effects: wanted at most 205")


FLOOR = {"effects": None, "floor": 0}


class UndershootsTheFloor(Desk):
    """Takes one piece more than was asked for, whenever the last one goes: no order too many, and nothing is left."""

    def take(self, order: Mapping[str, Any]) -> None:
        super().take(order)
        if not self.stock[order["item"]]:
            self.stock[order["item"]] -= 2


def test_a_floor_alone_is_a_limit_counted_from_the_state() -> None:
    found = allocated(Unlocked(), limits=FLOOR)
    assert found.finding.verdict is Verdict.VIOLATED
    assert found.finding.allowed_effects == 5
    assert allocated(Desk(), limits=FLOOR).finding.verdict is Verdict.NOT_OBSERVED


def test_a_state_below_its_floor_is_violated_though_no_effect_was_too_many() -> None:
    found = allocated(UndershootsTheFloor(), limits={"effects": 7, "floor": 0})
    assert found.finding.verdict is Verdict.VIOLATED
    assert (found.fact("kind"), found.finding.effects, found.fact("also_sequential")) == ("below_floor", 5, True)
    assert (
        found.finding.evidence.summary.startswith("20 distinct requests at once had 7 effects; 5 are allowed") is False
    )
    assert "5 are allowed, and left the state below its floor (stock = 3; then stock = -2)" in (
        found.finding.evidence.summary
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (None, "nothing is left to allocate; give a [[setup]]"),
        ([TOTAL], "[limits] floor = 0, and no [[state]] goes down: wanted a negative per_effect"),
    ],
)
def test_a_floor_that_cannot_be_counted_from_leaves_it_open(state: list[dict[str, Any]] | None, said: str) -> None:
    class OneItem(Desk):
        """One item for all, and it is used up after the control."""

        def read(self, _asked: Asked) -> Answer:
            return Answer(200, {"stock": 1 - self.taken, "count": self.taken})

        def is_left(self, _order: Mapping[str, Any]) -> bool:
            return not self.taken

    changed: dict[str, Any] = {"setup": None, "request": {"body": '{"order_id":"{{uuid}}","item":"x"}'}}
    stock = [{"name": "stock", "request": "GET /stock", "pointer": "/stock", "per_effect": -1, "settle_ms": 0}]
    finding = allocated(
        OneItem(), **changed, state=state or stock, limits={"floor": 0, "effects": None, "per": []}
    ).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert said in finding.evidence.summary


def test_a_whole_state_with_a_floor_is_brought_back_by_the_reset_before_every_trial() -> None:
    class OneStock(Desk):
        """Five pieces of one thing, again after every reset."""

        def __init__(self) -> None:
            super().__init__()
            self.reset()

        def reset(self) -> Answer:
            self.orders.clear()
            self.stock["x"] = 5
            return Answer(204)

    changed: dict[str, Any] = {"setup": None, "request": {"body": '{"order_id":"{{uuid}}","item":"x"}'}}
    stock = [{"name": "stock", "request": "GET /items/x", "pointer": "/stock", "per_effect": -1, "settle_ms": 0}]
    found = scan(
        OneStock(), LIMITS, DUPLICATES, **changed, state=stock, limits={"floor": 0, "effects": None, "per": []}
    )

    assert {finding.verdict for finding in found.findings.values()} == {Verdict.NOT_OBSERVED}


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"limits": None}, "no [limits]: add how many effects"), ({"state": None}, "no [[state]]: add the read endpoint")],
)
def test_what_a_plan_lacks_for_it_is_said(changed: dict[str, Any], said: str) -> None:
    finding = allocated(Desk(), **changed).finding
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert finding.evidence.summary.startswith(said)
