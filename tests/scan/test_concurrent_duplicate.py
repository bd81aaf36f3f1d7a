"""One message, many copies at once: the verdict comes from the state, and says what it is worth."""

import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import OncePerOrder, Unlocked
from tests.scan.services.scanning import DUPLICATES, TOTAL, scan
from tocsin.findings import Severity, Verdict
from tocsin.scan import _backoff, _race
from tocsin.scan._styles import Rotation
from tocsin.scan.checks import concurrent_duplicate
from tocsin.wire import Style

ALL_VARIANTS = concurrent_duplicate._VARIANTS

pytestmark = pytest.mark.usefixtures("brisk")


def test_a_window_between_look_and_write_is_violated_and_argued_from_the_state() -> None:
    found = scan(Unlocked(), DUPLICATES)
    finding = found.finding

    assert (finding.verdict, finding.severity, finding.allowed_effects) == (Verdict.VIOLATED, Severity.HIGH, 1)
    assert finding.effects is not None
    assert finding.effects > 1
    assert found.fact("variants", "identical", "effects") == finding.effects
    assert found.fact("variants", "identical", "sequential", "effects") == 1
    assert found.fact("also_sequential") is False
    assert found.fact("control", "effects") == 1
    assert f"had {finding.effects} effects; 1 is allowed (stock = 5; then stock = {5 - finding.effects})" in (
        finding.evidence.summary
    )
    assert re.search(r"It came back in [1-5] of 5 further bursts", finding.evidence.summary)
    assert finding.evidence.timeline is not None
    assert finding.evidence.timeline.most_in_flight() > 1
    assert finding.remedy is not None
    assert finding.remedy.text.startswith("The check and the write are two steps")
    assert 'key=json_pointer("/order_id")' in finding.remedy.guard_call
    assert finding.reproducer is not None
    assert finding.reproducer.command == "tocsin scan desk.toml --only concurrent-duplicate --seed 1"
    assert finding.reproducer.requests == (
        'POST /order {"order_id":"{{uuid}}","item":"{{item}}"}  [signed anew: hex-sha256-body]',
    )


def _learned(monkeypatch: pytest.MonkeyPatch) -> list[bool | None]:
    """What release styles are told of hits, from here on."""
    told: list[bool | None] = []
    original = Rotation.delivered

    def delivered(self: Rotation, style: Style, size: int, gap_us: int | None, *, hit: bool | None = None) -> None:
        told.append(hit)
        original(self, style, size, gap_us, hit=hit)

    monkeypatch.setattr(Rotation, "delivered", delivered)
    return told


def test_release_styles_learn_from_a_hit_and_from_every_repetition_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _learned(monkeypatch)
    scan(Unlocked(), DUPLICATES)
    first = told.index(True)
    assert set(told[:first]) <= {None}
    assert None not in told[first : first + 6]


def test_a_service_that_holds_says_nothing_of_release_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _learned(monkeypatch)
    scan(Desk(), DUPLICATES)
    assert set(told) == {None}


def test_a_correct_service_is_not_observed_after_150_bursts_with_a_bound_of_two_percent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(concurrent_duplicate, "_VARIANTS", ALL_VARIANTS)
    found = scan(Desk(), DUPLICATES, budget={"seconds": 60})
    bound = found.finding.bound

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert bound is not None
    assert (bound.trials, bound.detail) == (150, "")
    assert str(bound) == "0 of 150 bursts: at most 2.0 % a burst (95 % upper limit)"
    small = sum(count for kind, count in bound.mixture.items() if int(kind.partition("n=")[2]) <= 6)
    assert small * 2 >= bound.trials == sum(bound.mixture.values())


def test_fewer_bursts_than_wanted_are_said_in_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrent_duplicate, "_VARIANTS", ALL_VARIANTS)
    bound = scan(Desk(), DUPLICATES, budget={"seconds": 1}).finding.bound

    assert bound is not None
    assert 0 < bound.trials < 150
    assert "ended after" in bound.detail or "is used up" in bound.detail


class RefusesForAWhile(Desk):
    """Refuses copies at once while an order is worked on, and for no longer than a lease: less than the work takes."""

    lease_s, work_s = 0.05, 0.25

    def __init__(self) -> None:
        super().__init__()
        self.leased: dict[str, float] = {}
        self.never = threading.Event()

    def one_at_a_time(self) -> AbstractContextManager[object]:
        return nullcontext()

    def signed(self, asked: Asked) -> Answer:
        name, now = asked.document["order_id"], time.monotonic()
        with self.lock:
            if name in self.orders:
                return self.duplicate()
            if self.leased.get(name, 0.0) > now:
                return Answer(409, {"error": "in progress"})
            self.leased[name] = now + self.lease_s
        self.never.wait(self.work_s)
        return super().signed(asked)

    def is_new(self, _order: Mapping[str, Any], _asked: object) -> bool:
        return True


def _identical_only(monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    monkeypatch.setattr(concurrent_duplicate, "_VARIANTS", (replace(ALL_VARIANTS[0], wanted=wanted),))


def test_a_lease_that_is_shorter_than_the_work_is_found_by_a_burst_that_is_spread_over_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _identical_only(monkeypatch, 9)
    assert scan(RefusesForAWhile(), DUPLICATES, budget={"seconds": 60}).finding.verdict is Verdict.VIOLATED

    monkeypatch.setattr(_race, "_SPREAD_EVERY", 1000)
    monkeypatch.setattr(_race, "_SPREAD_AT", 999)
    clean = scan(RefusesForAWhile(), DUPLICATES, budget={"seconds": 60}).finding
    assert clean.verdict is Verdict.NOT_OBSERVED


def test_every_tenth_identical_burst_is_spread_and_the_mixture_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _identical_only(monkeypatch, 20)
    found = scan(Desk(), DUPLICATES)
    assert found.finding.bound is not None
    spread = {kind: count for kind, count in found.finding.bound.mixture.items() if kind.startswith("spread")}
    assert spread == {"spread n=10": 1, "spread n=20": 1}
    assert found.finding.bound.trials == 20


class Forgetful(Desk):
    """Remembers nothing: copies take effect one after the other, too."""

    def is_new(self, *_: object) -> bool:
        return True


def test_where_nothing_remembers_the_message_it_is_no_race_and_the_remedy_says_so() -> None:
    found = scan(Forgetful(), DUPLICATES)

    assert found.finding.verdict is Verdict.VIOLATED
    assert found.fact("also_sequential") is True
    assert found.fact("variants", "identical", "sequential", "effects") == 5
    assert found.finding.remedy is not None
    assert found.finding.remedy.text.startswith("Nothing remembers the message")


class LimitsBursts(Forgetful):
    """Forgetful, and a limiter turns away a message of which two copies have come together."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: Counter[str] = Counter()
        self.limited: set[str] = set()
        self.changed = threading.Condition()

    def order(self, asked: Asked) -> Answer:
        name = asked.document["order_id"]
        with self.changed:
            self.inside[name] += 1
            if self.inside[name] > 1:
                self.limited.add(name)
                self.changed.notify_all()
            limited = self.changed.wait_for(lambda: name in self.limited, timeout=0.02)
        answer = Answer(429) if limited else super().order(asked)
        with self.changed:
            self.inside[name] -= 1
        return answer


def test_what_the_sequential_twin_has_shown_stays_violated_where_no_burst_gets_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_backoff, "_LONGEST_PAUSE_S", 0.001)
    monkeypatch.setattr(_backoff, "_LONGEST_HOLD_S", 0.001)
    found = scan(LimitsBursts(), DUPLICATES)

    assert found.finding.verdict is Verdict.VIOLATED
    assert found.fact("also_sequential") is True
    assert "20 identical requests one after the other had 5 effects" in found.finding.evidence.summary
    assert found.finding.evidence.timeline is None


class Chatty(Desk):
    """Every answer is another one, and holds ids that look like new orders."""

    def accepted(self) -> Answer:
        return Answer(201, {"order": uuid.uuid4().hex})

    def duplicate(self) -> Answer:
        return self.accepted()


class Busy(Desk):
    """Answers 409 to copies that come while the first one is at work."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work: set[str] = set()
        self.come = threading.Condition()

    def order(self, asked: Asked) -> Answer:
        if not self.is_signed(asked):
            return self.unsigned(asked)
        name = asked.document["order_id"]
        with self.come:
            first = name not in self.at_work
            self.at_work.add(name)
            self.come.notify_all()
        if not first:
            return Answer(409, {"error": "in progress"})
        try:
            return self.signed(asked)
        finally:
            self.at_work.discard(name)


class Late(Desk):
    """Answers at once, and writes 100 ms later."""

    def take(self, order: Mapping[str, Any]) -> None:
        self.orders[order["order_id"]] += 1
        timer = threading.Timer(0.1, self.write, [order])
        timer.start()

    def write(self, order: Mapping[str, Any]) -> None:
        with self.lock:
            self.stock[order["item"]] -= 1


STOCK_LATER = {"name": "stock", "request": "GET /items/{{item}}", "pointer": "/stock", "per_effect": -1}


@pytest.mark.parametrize("trap", [Chatty, Busy, OncePerOrder])
def test_no_answer_whatever_makes_an_effect_of_a_duplicate(trap: type[Desk]) -> None:
    assert scan(trap(), DUPLICATES).finding.verdict is Verdict.NOT_OBSERVED


def test_effects_that_come_later_are_waited_for() -> None:
    late = scan(Late(), DUPLICATES, state=[STOCK_LATER | {"settle_ms": 150}])
    assert late.finding.verdict is Verdict.NOT_OBSERVED
    assert late.fact("control", "effects") == 1


def test_effects_that_come_later_than_the_plan_says_leave_it_open() -> None:
    finding = scan(Late(), DUPLICATES, state=[STOCK_LATER | {"settle_ms": 10}]).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "had 0 effects" in finding.evidence.summary


def test_an_oracle_that_every_order_shares_counts_as_well_as_one_of_its_own() -> None:
    shared: dict[str, Any] = {
        "state": [TOTAL],
        "setup": None,
        "limits": None,
        "request": {"body": '{"order_id":"{{uuid}}","item":"x"}'},
    }
    assert (
        scan(Unlocked(stock=10**6), DUPLICATES, **shared).finding.verdict is Verdict.INCONCLUSIVE
    )  # nobody has made item x

    class AnyItem(Unlocked):
        def is_left(self, _order: object) -> bool:
            return True

    assert scan(AnyItem(), DUPLICATES, **shared).finding.verdict is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"state": None}, "no [[state]]: add the read endpoint"),
        ({"request": {"body": "{{item}}"}}, "no fresh variable: nothing makes two requests distinct"),
    ],
)
def test_what_a_plan_lacks_for_it_is_said(changed: dict[str, Any], said: str) -> None:
    finding = scan(Desk(), DUPLICATES, **changed).finding
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert finding.evidence.summary.startswith(said)
