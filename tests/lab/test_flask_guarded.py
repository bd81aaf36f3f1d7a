"""The guarded service closes what the other two leave open: same orders, same stock, no hole."""

import json
import uuid

import pytest

from bench.crash import crash, stored
from lab._bruteforce import Answer, OrderDesk, sign_hex, sign_tocsin_v1


def send(desk: OrderDesk, body: bytes, idempotency_key: str) -> Answer:
    return desk.send(body, sign_tocsin_v1(body, idempotency_key, desk.running.secret))


def stock_of(desk: OrderDesk, item: str) -> int:
    return desk.query("SELECT stock FROM items WHERE id = ?", item)


def test_a_duplicate_gets_the_first_answer_whole_and_changes_nothing(guarded: OrderDesk) -> None:
    """Signed afresh, under another idempotency key even: the order_id alone says which order it is."""
    item = guarded.new_item()
    body = json.dumps({"order_id": "once", "item": item, "qty": 1}).encode()
    first, again = send(guarded, body, "attempt-1"), send(guarded, body, "attempt-2")
    assert json.loads(first.body)["status"] == "processed"
    assert stored(again) == stored(first)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert stock_of(guarded, item) == 4
    assert guarded.query("SELECT COUNT(*) FROM orders WHERE order_id = 'once'") == 1


def test_the_same_order_with_other_content_is_refused(guarded: OrderDesk) -> None:
    item = guarded.new_item()
    for qty, status in ((1, 200), (99, 422)):
        body = json.dumps({"order_id": "mind-changed", "item": item, "qty": qty}).encode()
        assert send(guarded, body, "mind-changed").status == status
    assert stock_of(guarded, item) == 4


@pytest.mark.parametrize(
    "signature", [None, "", "t=1,k=lab,v1=00", "\xe9"], ids=["none", "empty", "wrong", "non-ASCII"]
)
def test_a_forgery_is_refused_with_401_whatever_it_looks_like(guarded: OrderDesk, signature: str | None) -> None:
    item = guarded.new_item()
    body, headers = guarded.order(item)
    del headers["Tocsin-Signature"]
    assert guarded.send(body, headers if signature is None else headers | {"Tocsin-Signature": signature}).status == 401
    assert stock_of(guarded, item) == 5


@pytest.mark.parametrize(
    "body", [b'{"order_id":null}', b"{}", b'{"order_id":["a"]}', b'["order_id"]', b"7", b'{"order_id"']
)
def test_a_well_signed_body_without_a_usable_order_id_is_refused_and_applied_never(
    guarded: OrderDesk, body: bytes
) -> None:
    before = guarded.query("SELECT COUNT(*) FROM orders")
    assert [send(guarded, body, "unusable").status for _ in range(2)] == [400, 400]
    assert guarded.query("SELECT COUNT(*) FROM orders") == before


@pytest.mark.parametrize("wrong", [{"item": ["sku"]}, {"item": None}, {"item": "\ud800"}, {"qty": "1"}, {"qty": 2**64}])
def test_an_order_that_is_none_is_refused(guarded: OrderDesk, wrong: dict[str, object]) -> None:
    body = json.dumps({"order_id": uuid.uuid4().hex, "item": "sku", "qty": 1} | wrong).encode()
    assert send(guarded, body, "no-order").status == 400


def test_what_is_sold_out_stays_at_nothing(guarded: OrderDesk) -> None:
    item = guarded.new_item(stock=1)
    assert [guarded.send(*guarded.order(item)).status for _ in range(3)] == [200, 409, 409]
    assert stock_of(guarded, item) == 0


def test_a_crash_under_load_loses_no_order_and_applies_none_twice() -> None:
    """A few rounds of what `python -m bench.crash` does two hundred times."""
    assert crash(rounds=3, seed=1)["wrong"] == []


def test_the_crash_bench_sees_what_an_unguarded_service_does() -> None:
    """The same rounds against the vulnerable twin: a duplicate gets another answer than the first one got."""
    assert crash(rounds=2, seed=1, service="flask-vulnerable", sign=sign_hex)["wrong"] != []
