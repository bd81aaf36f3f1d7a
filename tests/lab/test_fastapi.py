"""FastAPI on PostgreSQL, vulnerable and guarded: the same orders and cancellations, and every race open or closed."""

import http.client
import json
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import OrderDesk, sign_hex, sign_tocsin_v1
from tests.lab.services import assert_a_scan_says_the_truth, started

# On fastapi-vulnerable each of 20 bursts of 16 showed either race, on two busy cores.
BURSTS = 20
SIZE = 16


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[OrderDesk]:
    with started("fastapi-vulnerable") as running:
        yield OrderDesk(running, sign_hex)


@pytest.fixture(scope="module")
def guarded() -> Iterator[OrderDesk]:
    with started("fastapi-guarded") as running:
        yield OrderDesk(running, sign_tocsin_v1)


@pytest.fixture(params=["vulnerable", "guarded"])
def desk(request: pytest.FixtureRequest) -> OrderDesk:
    found: OrderDesk = request.getfixturevalue(request.param)
    return found


def get(desk: OrderDesk, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", desk.running.port, timeout=10)
    connection.request("GET", path)
    said = json.load(connection.getresponse())
    connection.close()
    return said


def test_orders_take_pieces_until_there_are_none(desk: OrderDesk) -> None:
    item = desk.new_item(stock=2)
    assert [desk.send(*desk.order(item)).status for _ in range(3)] == [200, 200, 409]
    assert get(desk, f"/items/{item}") == {"item": item, "stock": 0, "sold": 2}


def test_the_same_order_later_changes_nothing(desk: OrderDesk) -> None:
    item, order_id = desk.new_item(), uuid.uuid4().hex
    assert [desk.send(*desk.order(item, order_id)).status for _ in range(3)] == [200, 200, 200]
    assert desk.query("SELECT COUNT(*) FROM orders WHERE order_id = ?", order_id) == 1
    assert desk.query("SELECT stock FROM items WHERE id = ?", item) == 4


def test_a_forgery_is_refused_and_changes_nothing(desk: OrderDesk) -> None:
    item = desk.new_item()
    body, headers = desk.order(item)
    forged = {name: "0" * 64 if "Signature" in name else value for name, value in headers.items()}
    assert desk.send(body, forged).status == 401
    assert desk.query("SELECT stock FROM items WHERE id = ?", item) == 5


def test_an_order_can_be_cancelled_once(desk: OrderDesk) -> None:
    """Again, the guarded one says again what it said: the first cancellation's answer."""
    item, order_id = desk.new_item(), uuid.uuid4().hex
    is_guarded = desk.sign is sign_tocsin_v1
    sign = partial(sign_tocsin_v1, path="/cancel") if is_guarded else sign_hex
    cancel = OrderDesk(desk.running, sign, path="/cancel")
    assert desk.send(*desk.order(item, order_id)).status == 200
    again = 200 if is_guarded else 404
    assert [cancel.send(*cancel.order(item, order_id)).status for _ in range(2)] == [200, again]
    assert get(desk, f"/items/{item}") == {"item": item, "stock": 5, "sold": 0}


def test_vulnerable_parses_what_nobody_has_signed(vulnerable: OrderDesk) -> None:
    answers = [vulnerable.send(body, {"Content-Type": "application/json"}) for body in (b"{", b"[]")]
    assert [answer.status for answer in answers] == [422, 422]


def test_vulnerable_applies_one_order_several_times_at_once(vulnerable: OrderDesk) -> None:
    assert any(vulnerable.duplicates(SIZE) > 1 for _ in range(BURSTS))


def test_vulnerable_sells_more_than_it_has(vulnerable: OrderDesk) -> None:
    assert any(vulnerable.oversold(SIZE) > 0 for _ in range(BURSTS))


def test_guarded_applies_one_order_once_however_many_arrive_together(guarded: OrderDesk) -> None:
    assert {guarded.duplicates(SIZE) for _ in range(BURSTS)} == {1}


def test_guarded_never_sells_more_than_it_has(guarded: OrderDesk) -> None:
    assert {guarded.oversold(SIZE) for _ in range(BURSTS)} == {0}


def test_guarded_answers_a_duplicate_with_the_first_answer_whole(guarded: OrderDesk) -> None:
    order = guarded.order(guarded.new_item(), uuid.uuid4().hex)
    first, again = guarded.send(*order), guarded.send(*order)
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("order_id", [None, ["a"], "", "a\0b", "é"])
def test_guarded_refuses_what_is_no_order_id_without_an_error_of_its_own(guarded: OrderDesk, order_id: object) -> None:
    item = guarded.new_item()
    body = json.dumps({"order_id": order_id, "item": item, "qty": 1}).encode()
    headers = {"Content-Type": "application/json"} | sign_tocsin_v1(body, "some-key", guarded.running.secret)
    assert guarded.send(body, headers).status in {400, 422}
    assert guarded.query("SELECT stock FROM items WHERE id = ?", item) == 5


def test_a_scan_says_what_is_true_of_the_vulnerable_one(vulnerable: OrderDesk, tmp_path: Path) -> None:
    assert_a_scan_says_the_truth(
        vulnerable.running, tmp_path, "concurrent-duplicate", "over-allocation", "parse-before-verification"
    )
