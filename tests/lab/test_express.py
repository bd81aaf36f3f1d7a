"""Coupons on Express: one thread of JavaScript, and the races are there all the same, or closed by a queue."""

import hashlib
import hmac
import http.client
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from lab._bruteforce import OrderDesk, sign_hex
from lab._services import LAB
from tests.lab.services import is_on_loopback_alone, started

PATH = "/coupon/redeem"
# On express-vulnerable each of 20 bursts of 16 showed either race, on two busy cores.
BURSTS = 20
SIZE = 16
USES = 5


def sign_time_route_and_body(body: bytes, _key: str, secret: str) -> dict[str, str]:
    timestamp = int(time.time())
    content = f"{timestamp}.POST.{PATH}.".encode() + body
    return {"X-Signature": f"t={timestamp},v1={hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()}"}


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[OrderDesk]:
    with started("express-vulnerable") as running:
        yield OrderDesk(running, sign_hex, path=PATH)


@pytest.fixture(scope="module")
def safe() -> Iterator[OrderDesk]:
    with started("express-safe") as running:
        yield OrderDesk(running, sign_time_route_and_body, path=PATH)


@pytest.fixture(params=["vulnerable", "safe"])
def desk(request: pytest.FixtureRequest) -> OrderDesk:
    found: OrderDesk = request.getfixturevalue(request.param)
    return found


def ask(desk: OrderDesk, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", desk.running.port, timeout=10)
    connection.request(method, path)
    said = json.load(connection.getresponse())
    connection.close()
    return said


def new_coupon(desk: OrderDesk) -> str:
    return str(ask(desk, "POST", "/coupons")["coupon"])


def redemption(desk: OrderDesk, coupon: str, name: str | None = None) -> tuple[bytes, dict[str, str]]:
    found = {"redemption_id": name or uuid.uuid4().hex, "coupon": coupon}
    body = json.dumps(found, separators=(",", ":")).encode()
    return body, {"Content-Type": "application/json"} | desk.sign(body, "", desk.running.secret)


def times_applied_at_once(desk: OrderDesk) -> int:
    name = uuid.uuid4().hex
    desk.volley([redemption(desk, new_coupon(desk), name)] * SIZE)
    return desk.noted("redemption_id", name)


def uses_at_once(desk: OrderDesk) -> int:
    coupon = new_coupon(desk)
    desk.volley([redemption(desk, coupon) for _ in range(SIZE)])
    return USES - int(ask(desk, "GET", f"/coupons/{coupon}")["left"])


def test_a_coupon_is_good_for_so_many_redemptions_and_each_counts_once(desk: OrderDesk) -> None:
    coupon = new_coupon(desk)
    first = redemption(desk, coupon)
    said = [json.loads(desk.send(*first).body)["status"] for _ in range(2)]
    assert said == ["redeemed", "duplicate"]
    assert [desk.send(*redemption(desk, coupon)).status for _ in range(USES)] == [200, 200, 200, 200, 409]


def test_a_forgery_is_refused_and_changes_nothing(desk: OrderDesk) -> None:
    coupon = new_coupon(desk)
    body, headers = redemption(desk, coupon)
    forged = headers["X-Signature"][:-64] + "0" * 64
    assert desk.send(body, headers | {"X-Signature": forged}).status == 401
    assert ask(desk, "GET", f"/coupons/{coupon}") == {"coupon": coupon, "left": USES}


def test_it_listens_on_loopback_alone(desk: OrderDesk) -> None:
    assert is_on_loopback_alone(desk.running)


def test_a_signature_of_another_length_breaks_the_vulnerable_one_alone(vulnerable: OrderDesk, safe: OrderDesk) -> None:
    for desk, status in ((vulnerable, 500), (safe, 401)):
        body, headers = redemption(desk, new_coupon(desk))
        assert desk.send(body, headers | {"X-Signature": "short"}).status == status


def test_other_bytes_of_the_same_meaning_pass_the_vulnerable_one_alone(vulnerable: OrderDesk, safe: OrderDesk) -> None:
    for desk, status in ((vulnerable, 200), (safe, 401)):
        body, headers = redemption(desk, new_coupon(desk))
        assert desk.send(body.replace(b",", b", "), headers).status == status


def test_vulnerable_applies_one_redemption_several_times_at_once(vulnerable: OrderDesk) -> None:
    assert any(times_applied_at_once(vulnerable) > 1 for _ in range(BURSTS))


def test_vulnerable_redeems_a_coupon_more_often_than_it_is_good_for(vulnerable: OrderDesk) -> None:
    assert any(uses_at_once(vulnerable) > USES for _ in range(BURSTS))


def test_safe_applies_one_redemption_once_however_many_arrive_together(safe: OrderDesk) -> None:
    assert {times_applied_at_once(safe) for _ in range(BURSTS)} == {1}


def test_safe_redeems_a_coupon_as_often_as_it_is_good_for(safe: OrderDesk) -> None:
    assert {uses_at_once(safe) for _ in range(BURSTS)} == {USES}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"7", b'["a","b"]', b"\xff"])
def test_safe_refuses_what_is_no_redemption(safe: OrderDesk, body: bytes) -> None:
    assert safe.send(body, safe.sign(body, "", safe.running.secret)).status == 400


def test_safe_knows_after_a_crash_what_it_has_redeemed_and_drops_half_a_line() -> None:
    with started("express-safe") as running:
        desk = OrderDesk(running, sign_time_route_and_body, path=PATH)
        coupon = new_coupon(desk)
        first = redemption(desk, coupon)
        desk.send(*first)
        running.kill()
        with (running.data / "ledger.jsonl").open("a") as ledger:
            ledger.write('{"redemption_id":"half')
        running.restart()
        assert json.loads(desk.send(*first).body) == {"status": "duplicate"}
        assert json.loads(desk.send(*redemption(desk, coupon)).body) == {"status": "redeemed"}
        assert ask(desk, "GET", f"/coupons/{coupon}") == {"coupon": coupon, "left": USES - 2}


@pytest.mark.skipif(shutil.which("node") is None, reason="no program node; apt-get install nodejs npm")
@pytest.mark.parametrize("name", ["express-vulnerable", "express-safe"])
def test_the_code_can_be_parsed(name: str) -> None:
    subprocess.run(["node", "--check", "app.js"], cwd=LAB / name, check=True)
