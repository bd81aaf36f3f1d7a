"""Two processes and one table of claims: whichever of them a copy comes to, an order is applied once."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from lab._bruteforce import OrderDesk, sign_tocsin_v1
from tests.lab.services import is_on_loopback_alone, started

BURSTS = 20
SIZE = 16


@pytest.fixture(scope="module")
def desk() -> Iterator[OrderDesk]:
    with started("flask-guarded-postgres") as running:
        yield OrderDesk(running, sign_tocsin_v1)


def test_orders_take_pieces_until_there_are_none(desk: OrderDesk) -> None:
    item = desk.new_item(stock=2)
    assert [desk.send(*desk.order(item)).status for _ in range(3)] == [200, 200, 409]
    assert desk.query("SELECT stock FROM items WHERE id = ?", item) == 0


def test_one_order_is_applied_once_however_many_arrive_together(desk: OrderDesk) -> None:
    assert {desk.duplicates(SIZE) for _ in range(BURSTS)} == {1}


def test_never_more_is_sold_than_there_is(desk: OrderDesk) -> None:
    assert {desk.oversold(SIZE) for _ in range(BURSTS)} == {0}


def test_it_listens_on_loopback_alone(desk: OrderDesk) -> None:
    assert is_on_loopback_alone(desk.running)


@pytest.mark.parametrize(
    "wrong",
    [{"order_id": None}, {"order_id": "a\0b"}, {"item": "a\0b"}, {"item": 7}, {"qty": 0}, {"qty": True}],
)
def test_an_order_that_is_none_is_refused(desk: OrderDesk, wrong: dict[str, object]) -> None:
    body = json.dumps({"order_id": uuid.uuid4().hex, "item": "sku", "qty": 1} | wrong).encode()
    headers = {"Content-Type": "application/json"} | sign_tocsin_v1(body, "no-order", desk.running.secret)
    assert desk.send(body, headers).status == 400


def test_a_stranger_who_reads_what_postgresql_refuses_gets_no_500(desk: OrderDesk) -> None:
    for path in ("/items/a%00b", "/orders/a%00b"):
        with closing(desk.connection()) as connection:
            connection.request("GET", path)
            assert connection.getresponse().status == 404


def test_a_crash_of_both_processes_forgets_no_answer(desk: OrderDesk) -> None:
    order = desk.order(desk.new_item(), uuid.uuid4().hex)
    first = desk.send(*order)
    desk.running.restart()
    again = desk.send(*order)
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
