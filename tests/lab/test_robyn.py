"""Robyn, which is Actix to Python: reservations and four more routes, vulnerable and guarded."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import OrderDesk, sign_hex, sign_tocsin_v1
from tests.lab.services import assert_a_scan_says_the_truth, is_on_loopback_alone, started

# On robyn-vulnerable each of 20 bursts of 16 had more reservations than one, on two busy cores.
BURSTS = 20
SIZE = 16
STOCK = 5
Reservation = tuple[bytes, dict[str, str]]


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[OrderDesk]:
    with started("robyn-vulnerable") as running:
        yield OrderDesk(running, sign_hex)


@pytest.fixture(scope="module")
def guarded() -> Iterator[OrderDesk]:
    with started("robyn-guarded") as running:
        yield OrderDesk(running, sign_tocsin_v1)


@pytest.fixture(params=["vulnerable", "guarded"])
def desk(request: pytest.FixtureRequest) -> OrderDesk:
    found: OrderDesk = request.getfixturevalue(request.param)
    return found


def at(desk: OrderDesk, item: str) -> OrderDesk:
    """The desk where that item is reserved: under tocsin-v1 the path is signed."""
    path = f"/api/reserve/{item}"
    return replace(desk, path=path, sign=desk.sign if desk.sign is sign_hex else partial(sign_tocsin_v1, path=path))


def reservation(desk: OrderDesk, name: str | None = None) -> Reservation:
    name = name or uuid.uuid4().hex
    body = json.dumps({"reservation_id": name, "qty": 1}, separators=(",", ":")).encode()
    return body, {"Content-Type": "application/json"} | desk.sign(body, name, desk.running.secret)


def left(desk: OrderDesk, item: str) -> int:
    return desk.query("SELECT stock FROM items WHERE id = ?", item)


def test_an_item_is_reserved_until_there_is_none(desk: OrderDesk) -> None:
    item = desk.new_item(stock=2)
    here = at(desk, item)
    assert [here.send(*reservation(here)).status for _ in range(3)] == [200, 200, 409]
    assert left(desk, item) == 0


def test_a_forgery_is_refused_and_changes_nothing(desk: OrderDesk) -> None:
    item = desk.new_item()
    here = at(desk, item)
    body, headers = reservation(here)
    forged = {name: "0" * 64 if "Signature" in name else value for name, value in headers.items()}
    assert here.send(body, forged).status == 401
    assert left(desk, item) == STOCK


def test_it_listens_on_loopback_alone(desk: OrderDesk) -> None:
    assert is_on_loopback_alone(desk.running)


def test_the_same_message_later_reserves_again_on_the_vulnerable_one_alone(
    vulnerable: OrderDesk, guarded: OrderDesk
) -> None:
    for desk, taken in ((vulnerable, 3), (guarded, 1)):
        item = desk.new_item()
        here = at(desk, item)
        sent = reservation(here)
        answers = [here.send(*sent) for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert STOCK - left(desk, item) == taken
    assert len({answer.body for answer in answers}) == 1


def test_a_message_for_one_item_reserves_another_on_the_vulnerable_one_alone(
    vulnerable: OrderDesk, guarded: OrderDesk
) -> None:
    """The path is not signed there, and it says which item."""
    for desk, status in ((vulnerable, 200), (guarded, 401)):
        here, there = (at(desk, desk.new_item()) for _ in range(2))
        assert there.send(*reservation(here)).status == status


def unsigned(desk: OrderDesk, method: str, path: str, document: object = None) -> Any:
    with closing(desk.connection()) as connection:
        connection.request(method, path, None if document is None else json.dumps(document))
        return json.load(connection.getresponse())


def others(desk: OrderDesk) -> list[tuple[str, dict[str, object], str, str]]:
    """A message for each of the other routes: its path, its body, where its effect is read, and the number there."""
    item = desk.new_item()
    source, target = (unsigned(desk, "POST", "/accounts", {"balance": 5})["account"] for _ in range(2))
    coupon = unsigned(desk, "POST", "/coupons", {"uses": 5})["coupon"]
    name = uuid.uuid4().hex
    return [
        ("/order", {"order_id": name, "item": item, "qty": 1}, f"/items/{item}", "stock"),
        (
            "/webhooks/payment",
            {"event_id": name, "account": target, "seq": 1, "amount": 1},
            f"/accounts/{target}",
            "seq",
        ),
        (
            "/transfer",
            {"transfer_id": name, "source": source, "target": target, "amount": 1},
            f"/accounts/{source}",
            "balance",
        ),
        ("/coupon/redeem", {"redemption_id": name, "coupon": coupon}, f"/coupons/{coupon}", "left"),
    ]


def signed(desk: OrderDesk, path: str, document: Mapping[str, object], name: str) -> tuple[OrderDesk, Reservation]:
    door = replace(desk, path=path, sign=desk.sign if desk.sign is sign_hex else partial(sign_tocsin_v1, path=path))
    body = json.dumps(document, separators=(",", ":")).encode()
    return door, (body, {"Content-Type": "application/json"} | door.sign(body, name, desk.running.secret))


def test_the_other_routes_take_a_message_and_no_forgery(desk: OrderDesk) -> None:
    for path, document, read, number in others(desk):
        door, (body, headers) = signed(desk, path, document, uuid.uuid4().hex)
        forged = {name: "0" * 64 if "Signature" in name else value for name, value in headers.items()}
        before = unsigned(desk, "GET", read)[number]
        assert door.send(body, forged).status == 401
        assert unsigned(desk, "GET", read)[number] == before
        assert door.send(body, headers).status == 200
        assert abs(unsigned(desk, "GET", read)[number] - before) == 1


def test_guarded_applies_every_message_once_however_many_arrive_together(guarded: OrderDesk) -> None:
    for path, document, read, number in others(guarded):
        door, message = signed(guarded, path, document, uuid.uuid4().hex)
        before = unsigned(guarded, "GET", read)[number]
        answers = door.volley([message] * SIZE)
        assert len({(answer.status, answer.body) for answer in answers}) == 1
        assert abs(unsigned(guarded, "GET", read)[number] - before) == 1


@pytest.mark.parametrize("wrong", [{"amount": -1}, {"amount": "1"}, {"source": None}, {"target": ["acc"]}])
def test_guarded_refuses_a_transfer_that_is_none(guarded: OrderDesk, wrong: dict[str, object]) -> None:
    path, document, read, _ = others(guarded)[2]
    door, message = signed(guarded, path, document | wrong, uuid.uuid4().hex)
    assert door.send(*message).status == 400
    assert unsigned(guarded, "GET", read)["balance"] == 5


def test_guarded_keeps_its_claims_through_a_reset(guarded: OrderDesk) -> None:
    path, document, _, _ = others(guarded)[0]
    door, message = signed(guarded, path, document, uuid.uuid4().hex)
    first = door.send(*message)
    assert unsigned(guarded, "POST", "/__reset") == {"status": "reset"}
    assert door.send(*message).body == first.body


def test_vulnerable_reserves_more_than_there_is(vulnerable: OrderDesk) -> None:
    def oversold() -> bool:
        item = vulnerable.new_item(stock=1)
        here = at(vulnerable, item)
        here.volley([reservation(here) for _ in range(SIZE)])
        return left(vulnerable, item) < 0

    assert any(oversold() for _ in range(BURSTS))


def test_guarded_reserves_one_message_once_and_no_more_than_there_is(guarded: OrderDesk) -> None:
    for _ in range(BURSTS):
        same, distinct = guarded.new_item(), guarded.new_item()
        at(guarded, same).volley([reservation(at(guarded, same), uuid.uuid4().hex)] * SIZE)
        at(guarded, distinct).volley([reservation(at(guarded, distinct)) for _ in range(SIZE)])
        assert (left(guarded, same), left(guarded, distinct)) == (STOCK - 1, 0)


@pytest.mark.parametrize("body", [b'{"reservation_id":null}', b"{}", b"[]", b"7", b"\xff", b""])
def test_guarded_refuses_what_is_no_reservation(guarded: OrderDesk, body: bytes) -> None:
    item = guarded.new_item()
    here = at(guarded, item)
    assert here.send(body, here.sign(body, "unusable", here.running.secret)).status == 400
    assert left(guarded, item) == STOCK


def test_a_scan_of_the_vulnerable_one_says_the_truth(vulnerable: OrderDesk, tmp_path: Path) -> None:
    checks = ("sequential-replay", "parse-before-verification", "signature-coverage", "signed-robustness")
    assert_a_scan_says_the_truth(vulnerable.running, tmp_path, *checks)


def test_a_scan_of_the_guarded_one_says_the_truth(guarded: OrderDesk, tmp_path: Path) -> None:
    checks = ("signature-bypass", "parse-before-verification", "signature-coverage", "signed-robustness")
    assert_a_scan_says_the_truth(guarded.running, tmp_path, *checks)
