"""Payment events in Go: over HTTP/1.1 here, over HTTP/2 in the scan; the same contract, and the race open or closed."""

import hashlib
import hmac
import http.client
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import Answer, OrderDesk
from lab._services import LAB
from tests.lab.services import assert_a_scan_says_the_truth, is_on_loopback_alone, started

PATH = "/webhooks/payment"
# On go-vulnerable 19 of 20 bursts of 16 showed the race on two busy cores.
BURSTS = 30
SIZE = 16


def sign_time_and_body(body: bytes, _key: str, secret: str, timestamp: int | None = None) -> dict[str, str]:
    return signed(f"{timestamp or int(time.time())}", "{0}.", body, secret)


def sign_time_route_and_body(body: bytes, _key: str, secret: str, timestamp: int | None = None) -> dict[str, str]:
    return signed(f"{timestamp or int(time.time())}", f"{{0}}.POST.{PATH}.", body, secret)


def signed(timestamp: str, before: str, body: bytes, secret: str) -> dict[str, str]:
    content = before.format(timestamp).encode() + body
    return {
        "X-Timestamp": timestamp,
        "X-Signature": hmac.new(secret.encode(), content, hashlib.sha256).hexdigest(),
    }


SIGNS = {"go-vulnerable": sign_time_and_body, "go-safe": sign_time_route_and_body}


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[OrderDesk]:
    with started("go-vulnerable") as running:
        yield OrderDesk(running, sign_time_and_body, path=PATH)


@pytest.fixture(scope="module")
def safe() -> Iterator[OrderDesk]:
    with started("go-safe") as running:
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


def new_account(desk: OrderDesk) -> str:
    return str(ask(desk, "POST", "/accounts")["account"])


def event(desk: OrderDesk, account: str, seq: int, event_id: str | None = None) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"event_id": event_id or uuid.uuid4().hex, "account": account, "seq": seq, "amount": 1}).encode()
    return body, desk.sign(body, "", desk.running.secret)


def at_age(desk: OrderDesk, age_s: int) -> Answer:
    body, _ = event(desk, new_account(desk), 1)
    sign = SIGNS[desk.running.service.name]
    return desk.send(body, sign(body, "", desk.running.secret, timestamp=int(time.time()) - age_s))


def test_events_are_applied_in_order_and_once(desk: OrderDesk) -> None:
    account = new_account(desk)
    first = event(desk, account, 7)
    answers = [desk.send(*first), desk.send(*first), desk.send(*event(desk, account, 9))]
    assert [json.loads(answer.body)["status"] for answer in answers] == ["applied", "duplicate", "applied"]
    assert desk.send(*event(desk, account, 8)).status == 409
    assert ask(desk, "GET", f"/accounts/{account}") == {"balance": 2, "seq": 9}


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", "00"])
def test_a_forgery_is_refused_and_changes_nothing(desk: OrderDesk, signature: str) -> None:
    account = new_account(desk)
    body, headers = event(desk, account, 1)
    assert desk.send(body, headers | {"X-Signature": signature}).status == 401
    assert ask(desk, "GET", f"/accounts/{account}") == {"balance": 0, "seq": 0}


def test_it_listens_on_loopback_alone(desk: OrderDesk) -> None:
    assert is_on_loopback_alone(desk.running)


def test_vulnerable_takes_a_message_of_any_age_and_safe_does_not(vulnerable: OrderDesk, safe: OrderDesk) -> None:
    assert [at_age(vulnerable, age_s).status for age_s in (0, 86400, -86400)] == [200, 200, 200]
    assert [at_age(safe, age_s).status for age_s in (0, 280, 320, -320)] == [200, 200, 401, 401]


def test_vulnerable_applies_one_event_several_times_at_once(vulnerable: OrderDesk) -> None:
    assert any(times_applied_at_once(vulnerable) > 1 for _ in range(BURSTS))


def test_safe_applies_one_event_once_however_many_arrive_together(safe: OrderDesk) -> None:
    assert {times_applied_at_once(safe) for _ in range(BURSTS)} == {1}


def times_applied_at_once(desk: OrderDesk) -> int:
    event_id = uuid.uuid4().hex
    desk.volley([event(desk, new_account(desk), 1, event_id)] * SIZE)
    return desk.noted("event_id", event_id)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b"7", b'{"event_id":null}', b'{"event_id":"a","account":"b","seq":1,"amount":1}x']
)
def test_safe_refuses_what_is_no_event(safe: OrderDesk, body: bytes) -> None:
    assert safe.send(body, safe.sign(body, "", safe.running.secret)).status == 400


def test_safe_knows_after_a_crash_what_it_has_applied_and_drops_half_a_line() -> None:
    with started("go-safe") as running:
        desk = OrderDesk(running, sign_time_route_and_body, path=PATH)
        account = new_account(desk)
        first = event(desk, account, 1)
        desk.send(*first)
        running.kill()
        with (running.data / "ledger.jsonl").open("a") as ledger:
            ledger.write('{"event_id":"half')
        running.restart()
        assert json.loads(desk.send(*first).body) == {"status": "duplicate"}
        assert json.loads(desk.send(*event(desk, account, 2)).body) == {"status": "applied"}
        assert desk.noted("account", account) == 2


@pytest.mark.skipif(shutil.which("go") is None, reason="no program go; apt-get install golang-go")
@pytest.mark.parametrize("name", sorted(SIGNS))
def test_the_code_is_formatted_and_vetted(name: str) -> None:
    assert subprocess.run(["gofmt", "-l", "."], cwd=LAB / name, capture_output=True, check=True).stdout == b""
    subprocess.run(["go", "vet", "-buildvcs=false", "."], cwd=LAB / name, check=True)


def test_a_scan_over_http_2_says_what_is_true_of_the_vulnerable_one(vulnerable: OrderDesk, tmp_path: Path) -> None:
    assert_a_scan_says_the_truth(vulnerable.running, tmp_path, "concurrent-duplicate", "stale-timestamp", "reordering")
