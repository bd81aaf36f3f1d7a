"""Answers, tombstones and clocks, as the clients of a service see them over time."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.guard.shop import NOW, Shop
from tocsin.guard import FOREVER, StoreUnavailable, body_digest
from tocsin.guard._sweeping import Sweeping
from tocsin.guard.stores import Claim, Granted, Record
from tocsin.guard.stores.sqlite import SQLiteStore, _claims
from tocsin.guard.testing import ANSWER
from tocsin.signing import preset

MakeShop = Callable[..., Shop]
DAY_S = 86_400.0
STRIPE: dict[str, Any] = {"scheme": preset("stripe"), "route": {}}


def claims_left(shop: Shop) -> int:
    """How many claims are kept, when everything that is due has gone."""
    while shop.store.sweep(round(shop.clock.now * 1000)):
        pass
    return shop.claims


def test_answers_are_kept_for_answer_days_and_then_their_status_alone(shop: Shop) -> None:
    first = shop.order()
    shop.clock.now += 7 * DAY_S - 1
    assert shop.order().data == first.data
    shop.clock.now += 1
    again = shop.order()
    assert (again.status_code, again.data) == (200, b"")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert shop.runs == 1


def test_sweeping_removes_the_answer_and_leaves_the_tombstone(shop: Shop) -> None:
    shop.order()
    shop.clock.now += 7 * DAY_S
    assert claims_left(shop) == 1
    assert shop.query("SELECT status, headers, body, due_unix_ms FROM tocsin_claims") == [(200, None, None, None)]
    assert shop.order().status_code == 200
    assert shop.runs == 1


def test_a_business_key_is_kept_for_ever(shop: Shop) -> None:
    shop.order()
    shop.clock.now += 100 * 365 * DAY_S
    assert claims_left(shop) == 1
    assert shop.order().headers["Idempotent-Replayed"] == "true"
    assert shop.runs == 1


def test_a_webhooks_claim_goes_when_no_retry_can_arrive_any_more(make_shop: MakeShop) -> None:
    """Stripe retries by hand for 30 days; a day more."""
    shop = make_shop(**STRIPE)
    shop.post({"id": "evt_1"})
    shop.clock.now += 31 * DAY_S - 1
    assert shop.post({"id": "evt_1"}).headers["Idempotent-Replayed"] == "true"
    shop.clock.now += 1
    assert claims_left(shop) == 0
    assert shop.post({"id": "evt_1"}).status_code == 200
    assert shop.runs == 2


def test_an_expired_claim_that_was_not_swept_is_replaced(make_shop: MakeShop) -> None:
    """The key is not stuck, and the new claim is as good as the first."""
    shop = make_shop(**STRIPE)
    first = shop.post({"id": "evt_1"})
    shop.clock.now += 31 * DAY_S
    second = shop.post({"id": "evt_1"})
    assert second.data != first.data
    assert shop.post({"id": "evt_1"}).data == second.data
    assert (shop.runs, shop.claims) == (2, 1)


def test_a_body_digest_is_remembered_for_its_days(make_shop: MakeShop) -> None:
    """The limit that its docs name: after them, a captured request takes effect again."""
    shop = make_shop(scheme=preset("github"), route={"key": body_digest(days=3)})
    shop.post({"action": "opened"})
    shop.clock.now += 3 * DAY_S - 1
    shop.post({"action": "opened"})
    assert shop.runs == 1
    shop.clock.now += 1
    shop.post({"action": "opened"})
    assert shop.runs == 2


def test_a_new_delivery_id_makes_no_new_message(make_shop: MakeShop) -> None:
    """It is not signed, so whoever captured a request could send it under as many ids as they like."""
    shop = make_shop(scheme=preset("github"), route={"key": body_digest(days=3)})
    for delivery in ("1", "2"):
        shop.post({"action": "opened"}, headers=(("X-GitHub-Delivery", delivery),))
    assert shop.runs == 1


@pytest.mark.parametrize("days", [40.0, FOREVER])
def test_claim_days_is_the_developers_to_lengthen(make_shop: MakeShop, days: float) -> None:
    shop = make_shop(scheme=preset("stripe"), route={"claim_days": days})
    shop.post({"id": "evt_1"})
    shop.clock.now += 40 * DAY_S - 1
    assert claims_left(shop) == 1
    shop.clock.now += 1
    assert claims_left(shop) == (1 if days == FOREVER else 0)


def test_a_clock_that_goes_back_does_not_fail_and_repeats_nothing(make_shop: MakeShop) -> None:
    shop = make_shop()
    first = shop.order()
    shop.clock.now -= 10 * 365 * DAY_S
    assert shop.order().data == first.data
    assert shop.order("18").status_code == 200
    assert shop.orders == ["17", "18"]


@pytest.mark.parametrize("swept", [True, False], ids=["swept", "replaced"])
def test_a_clock_that_goes_back_does_not_bring_forgotten_messages_back(make_shop: MakeShop, swept: bool) -> None:  # noqa: FBT001
    """The message is young again, and its claim has gone: it is refused instead of applied twice."""
    shop = make_shop(**STRIPE)
    body = b'{"id":"evt_1"}'
    captured = list(shop.signed(body))
    client = shop.app.test_client()
    assert client.post("/order", data=body, headers=captured).status_code == 200
    shop.clock.now += 31 * DAY_S
    if swept:
        assert claims_left(shop) == 0
    else:
        # The same id, taken again by a message of its own, and that one's claim then deleted by hand.
        assert shop.post({"id": "evt_1"}).status_code == 200
        with closing(sqlite3.connect(shop.path, isolation_level=None)) as db:
            db.execute("DELETE FROM tocsin_claims")
    shop.clock.now = NOW
    assert client.post("/order", data=body, headers=captured).status_code == 401
    shop.clock.now = NOW + 31 * DAY_S
    assert shop.post({"id": "evt_2"}).status_code == 200


def test_a_clock_that_jumps_ahead_and_back_refuses_no_new_message(make_shop: MakeShop) -> None:
    """What counts is when the forgotten claims were taken, not what the clock said when they were forgotten."""
    shop = make_shop(**STRIPE)
    shop.post({"id": "evt_1"})
    shop.clock.now += 1000 * DAY_S
    assert claims_left(shop) == 0
    shop.clock.now = NOW + 601
    assert shop.post({"id": "evt_2"}).status_code == 200


def test_forgetting_in_one_operation_makes_no_other_one_suspicious(make_shop: MakeShop) -> None:
    shop = make_shop(scheme=preset("stripe"), route={"name": "a"}, guard={"shared_secret": True})
    other = shop.guard.flask(name="b")(lambda _signed, _tx: "other")
    shop.app.post("/other")(other)
    shop.post({"id": "evt_1"})
    shop.clock.now += 31 * DAY_S
    assert claims_left(shop) == 0
    shop.clock.now = NOW
    assert shop.post({"id": "evt_1"}, path="/other").status_code == 200


def test_a_sweep_changes_a_bounded_number_of_rows(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody else waits for it."""
    monkeypatch.setattr(_claims, "SWEPT_AT_ONCE", 2)
    for order_id in range(5):
        shop.order(order_id)
    due = round((NOW + 7 * DAY_S) * 1000)
    assert [shop.store.sweep(due) for _ in range(4)] == [2, 2, 1, 0]


def test_a_claim_that_is_over_goes_at_once_and_is_counted_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where more are due than go at once: those that stay for the next time keep what they have until then."""
    monkeypatch.setattr(_claims, "SWEPT_AT_ONCE", 3)
    store = SQLiteStore(tmp_path / "store.db")
    for number in range(8):
        # Every third one leaves a tombstone.
        until = 100 if number % 3 == 2 else 2
        granted = store.take(Claim(number.to_bytes(32, "big"), "main", "/order", None, 0, 1, until, None), 1)
        assert isinstance(granted, Granted)
        granted.settle(ANSWER)
    assert store.sweep(10) == 3
    bodies = [None if (found := store.look(number.to_bytes(32, "big"))) is None else found.body for number in range(8)]
    assert bodies == [None, None, None, *[ANSWER.body] * 5]
    assert [store.sweep(10) for _ in range(3)] == [3, 2, 0]


def test_an_unsettled_claim_is_never_swept(tmp_path: Any) -> None:
    """It stays for a person to look at."""
    store = SQLiteStore(tmp_path / "store.db")
    lost = Claim(bytes(32), "main", "/order", None, 0, 1, 1, None)
    granted = store.take(lost, 1)
    assert isinstance(granted, Granted)
    granted._end_handler()
    granted.writer.commit()
    granted.abandon()
    assert store.sweep(10**15) == 0
    found = store.look(lost.key)
    assert isinstance(found, Record)
    assert found.status is None
    assert store.take(lost, 1) == found


def test_the_guard_sweeps_by_itself_now_and_then(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tocsin.guard")
    times = [0.0]
    monkeypatch.setattr("tocsin.guard._sweeping.monotonic", lambda: times[0])
    shop.guard._sweeping._next = 60.0
    shop.order()
    shop.clock.now += 7 * DAY_S
    shop.order("before")
    times[0] = 60.0
    shop.order("after")
    assert "swept 1 answers and claims" in caplog.text
    assert shop.query("SELECT count(*) FROM tocsin_claims WHERE body IS NULL") == [(1,)]


def test_a_sweep_that_finds_the_store_busy_is_put_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tocsin.guard")
    calls: list[int] = []

    def busy(now_unix_ms: int) -> int:
        calls.append(now_unix_ms)
        raise StoreUnavailable("locked")

    sweeping = Sweeping(busy)
    sweeping._next = 0
    sweeping.sweep_if_due(NOW)
    sweeping.sweep_if_due(NOW)
    assert calls == [round(NOW * 1000)]
    assert "sweeping is put off: locked" in caplog.text


def test_a_store_that_cannot_be_swept_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> int:
        raise sqlite3.DatabaseError("malformed")

    with monkeypatch.context() as patch:
        patch.setattr(_claims, "sweep", cannot)
        with pytest.raises(StoreUnavailable, match="cannot be swept"):
            shop.store.sweep(0)
    assert shop.store.sweep(0) == 0


def test_a_sweep_that_finds_nothing_waits_for_its_next_turn(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tocsin.guard")
    found = iter([0])
    sweeping = Sweeping(lambda _: next(found))
    sweeping._next = 0
    sweeping.sweep_if_due(NOW)
    sweeping.sweep_if_due(NOW)
    assert caplog.text == ""
