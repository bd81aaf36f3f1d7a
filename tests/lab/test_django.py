"""Django on SQLite, vulnerable and guarded: the same endpoints, and every race open or closed."""

import http.client
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import Answer, OrderDesk, sign_hex, sign_tocsin_v1
from lab._services import LAB
from tests.lab.services import assert_a_scan_says_the_truth, is_on_loopback_alone, started

# On django-vulnerable each of 20 bursts of 16 showed either race, on two busy cores.
BURSTS = 20
STRANGER = """
import json
import app
from django.test import Client

paths = ("/__reset", "/items", "/accounts", "/coupons")
callers = [Client(REMOTE_ADDR=address) for address in ("192.0.2.7", "127.0.0.1")]
print(json.dumps([[caller.post(path, {}, "application/json", headers={"host": "localhost"}).status_code
    for path in paths] for caller in callers]))
"""
SIZE = 16


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[OrderDesk]:
    with started("django-vulnerable") as running:
        yield OrderDesk(running, sign_hex)


@pytest.fixture(scope="module")
def guarded() -> Iterator[OrderDesk]:
    with started("django-guarded") as running:
        yield OrderDesk(running, sign_tocsin_v1)


@pytest.fixture(params=["vulnerable", "guarded"])
def desk(request: pytest.FixtureRequest) -> OrderDesk:
    found: OrderDesk = request.getfixturevalue(request.param)
    return found


def unsigned(desk: OrderDesk, path: str, document: object = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", desk.running.port, timeout=10)
    connection.request("GET" if document is None else "POST", path, None if document is None else json.dumps(document))
    said = json.load(connection.getresponse())
    connection.close()
    return said


def send(desk: OrderDesk, path: str, document: object) -> Answer:
    """A signed request to one of the service's paths."""
    body, secret = json.dumps(document).encode(), desk.running.secret
    signed = sign_hex(body, "", secret) if desk.sign is sign_hex else sign_tocsin_v1(body, "k-1", secret, path=path)
    return OrderDesk(desk.running, desk.sign, path=path).send(body, {"Content-Type": "application/json"} | signed)


def test_orders_take_pieces_until_there_are_none(desk: OrderDesk) -> None:
    item = desk.new_item(stock=2)
    assert [desk.send(*desk.order(item)).status for _ in range(3)] == [200, 200, 409]
    assert unsigned(desk, f"/items/{item}") == {"item": item, "stock": 0}


def test_reservations_payments_transfers_and_coupons_happen_once_one_after_the_other(desk: OrderDesk) -> None:
    item = desk.new_item()
    [payer, payee] = [unsigned(desk, "/accounts", {"balance": 100})["account"] for _ in range(2)]
    coupon = unsigned(desk, "/coupons", {"left": 1})["coupon"]
    booking = {"transfer_id": uuid.uuid4().hex, "from": payer, "to": payee, "amount": 30}
    sent = [
        (f"/api/reserve/{item}", {"reservation_id": uuid.uuid4().hex}),
        ("/webhooks/payment", {"event_id": uuid.uuid4().hex, "account": payer, "amount": 7}),
        ("/transfer", booking),
        ("/coupon/redeem", {"redemption_id": uuid.uuid4().hex, "coupon": coupon}),
    ]
    for path, document in sent:
        assert [send(desk, path, document).status for _ in range(2)] == [200, 200]
    assert send(desk, "/transfer", booking | {"transfer_id": uuid.uuid4().hex, "amount": 500}).status == 409
    assert send(desk, "/coupon/redeem", {"redemption_id": uuid.uuid4().hex, "coupon": coupon}).status == 409
    assert unsigned(desk, f"/items/{item}")["stock"] == 4
    assert [unsigned(desk, f"/accounts/{account}")["balance"] for account in (payer, payee)] == [77, 130]
    assert unsigned(desk, f"/coupons/{coupon}")["left"] == 0


def test_a_forgery_is_refused_and_changes_nothing(desk: OrderDesk) -> None:
    item = desk.new_item()
    body, headers = desk.order(item)
    forged = {name: "0" * 64 if "Signature" in name else value for name, value in headers.items()}
    assert desk.send(body, forged).status == 401
    assert unsigned(desk, f"/items/{item}")["stock"] == 5


def test_it_listens_on_loopback_and_nowhere_else(desk: OrderDesk) -> None:
    assert is_on_loopback_alone(desk.running)


@pytest.mark.parametrize("name", ["django-vulnerable", "django-guarded"])
def test_strangers_may_neither_reset_nor_set_up(name: str, tmp_path: Path) -> None:
    """In a process of its own: Django is configured once for all."""
    environment = os.environ | {"LAB_SECRET": "only-for-this-test", "LAB_DATA": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", STRANGER]
    said = subprocess.run(command, cwd=LAB / name, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == [[403, 403, 403, 403], [200, 201, 201, 201]]


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
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("wrong", [{"item": ["sku"]}, {"item": "\ud800"}, {"qty": 2**64}, {"order_id": None}])
def test_guarded_refuses_what_is_no_order_without_an_error_of_its_own(
    guarded: OrderDesk, wrong: dict[str, object]
) -> None:
    order = {"order_id": uuid.uuid4().hex, "item": "sku", "qty": 1}
    assert send(guarded, "/order", order | wrong).status == 400


def test_guarded_keeps_its_claims_through_a_reset(guarded: OrderDesk) -> None:
    order = guarded.order(guarded.new_item())
    first = guarded.send(*order)
    assert unsigned(guarded, "/__reset", {}) == {"status": "reset"}
    assert guarded.send(*order).body == first.body


def test_a_scan_says_what_is_true_of_the_vulnerable_one(vulnerable: OrderDesk, tmp_path: Path) -> None:
    assert_a_scan_says_the_truth(
        vulnerable.running, tmp_path, "concurrent-duplicate", "over-allocation", "signed-robustness"
    )
