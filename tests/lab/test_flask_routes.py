"""Reservations, payments, transfers and coupons on Flask: every race open, closed, and closed in two processes."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import Answer, OrderDesk, sign_hex, sign_tocsin_v1
from lab._services import LAB
from tests.lab.services import started

# On flask-vulnerable 35 to 39 of 40 bursts of 16 applied a message more than once, by route, on two busy cores.
BURSTS = 20
SIZE = 16
STRANGER = """
import json
from routes import app

paths = ("/__reset", "/items", "/accounts", "/coupons")
callers = [{"REMOTE_ADDR": address} for address in ("192.0.2.7", "127.0.0.1")]
print(json.dumps([[app.test_client().post(path, json={}, environ_base=caller).status_code
    for path in paths] for caller in callers]))
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message for one of the routes, the member that says which message it is, and where its effect is read."""

    path: str
    document: Mapping[str, object]
    key: str
    read: str
    number: str


@pytest.fixture(scope="module")
def postgres() -> Iterator[OrderDesk]:
    with started("flask-guarded-postgres") as running:
        yield OrderDesk(running, sign_tocsin_v1)


@pytest.fixture(params=["guarded", "postgres"])
def safe(request: pytest.FixtureRequest) -> OrderDesk:
    found: OrderDesk = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["vulnerable", "guarded", "postgres"])
def desk(request: pytest.FixtureRequest) -> OrderDesk:
    found: OrderDesk = request.getfixturevalue(request.param)
    return found


def unsigned(desk: OrderDesk, path: str, document: object = None) -> Any:
    headers = {"Content-Type": "application/json"}
    with closing(desk.connection()) as connection:
        if document is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(document), headers)
        return json.load(connection.getresponse())


def account(desk: OrderDesk, balance: int = 5) -> str:
    return str(unsigned(desk, "/accounts", {"balance": balance})["account"])


def letters(desk: OrderDesk) -> list[Letter]:
    """One for each route, about things that nothing has happened to; each may take effect five times."""
    item, name = desk.new_item(), uuid.uuid4().hex
    payer, payee, paid = account(desk), account(desk, 0), account(desk, 5)
    coupon = unsigned(desk, "/coupons", {"left": 5})["coupon"]
    event = {"event_id": name, "account": paid, "seq": 1, "amount": 1}
    booking = {"transfer_id": name, "from": payer, "to": payee, "amount": 1}
    voucher = {"redemption_id": name, "coupon": coupon}
    return [
        Letter(f"/api/reserve/{item}", {"reservation_id": name}, "reservation_id", f"/items/{item}", "stock"),
        Letter("/webhooks/payment", event, "event_id", f"/accounts/{paid}", "balance"),
        Letter("/transfer", booking, "transfer_id", f"/accounts/{payer}", "balance"),
        Letter("/coupon/redeem", voucher, "redemption_id", f"/coupons/{coupon}", "left"),
    ]


def effects(desk: OrderDesk, letter: Letter) -> int:
    """Each thing began with five, and each effect changes it by one."""
    return abs(int(unsigned(desk, letter.read)[letter.number]) - 5)


def other(letter: Letter) -> Letter:
    return replace(letter, document={**letter.document, letter.key: uuid.uuid4().hex})


def volley(desk: OrderDesk, sent: list[Letter]) -> list[Answer]:
    """All at once, and all to the path of the first one."""
    path = sent[0].path
    sign = desk.sign if desk.sign is sign_hex else partial(sign_tocsin_v1, path=path)
    door, messages = replace(desk, path=path, sign=sign), []
    for letter in sent:
        body = json.dumps(letter.document).encode()
        headers = door.sign(body, str(letter.document[letter.key]), desk.running.secret)
        messages.append((body, {"Content-Type": "application/json"} | headers))
    return door.volley(messages)


def send(desk: OrderDesk, letter: Letter) -> Answer:
    [answer] = volley(desk, [letter])
    return answer


def test_every_message_takes_effect_once_one_after_the_other(desk: OrderDesk) -> None:
    for letter in letters(desk):
        assert [send(desk, letter).status for _ in range(2)] == [200, 200]
        assert effects(desk, letter) == 1


def test_what_is_used_up_is_refused_and_what_is_not_there_too(desk: OrderDesk) -> None:
    reservation, event, booking, voucher = letters(desk)
    for letter in (reservation, booking, voucher):
        assert [send(desk, other(letter)).status for _ in range(6)] == [200] * 5 + [409]
        assert effects(desk, letter) == 5
    both = f"/accounts/{booking.document['from']}/with/{booking.document['to']}"
    assert unsigned(desk, both) == {"one": 0, "other": 5}
    nowhere = [({"account": "none"}, event), ({"to": "none"}, booking)]
    assert [send(desk, replace(one, document={**one.document, **to})).status for to, one in nowhere] == [404, 404]
    for path in ("/accounts/none", "/accounts/none/with/none", "/coupons/none"):
        assert list(unsigned(desk, path)) == ["error"]


def test_a_forgery_is_refused_and_changes_nothing(desk: OrderDesk) -> None:
    stolen = replace(desk, running=replace(desk.running, secret="another one"))
    for letter in letters(desk):
        assert send(stolen, letter).status == 401
        assert effects(desk, letter) == 0


def test_a_message_for_one_item_reserves_another_only_where_the_path_is_not_signed(desk: OrderDesk) -> None:
    meant, elsewhere = letters(desk)[0], letters(desk)[0]
    body = json.dumps(meant.document).encode()
    sign = desk.sign if desk.sign is sign_hex else partial(sign_tocsin_v1, path=meant.path)
    answer = replace(desk, path=elsewhere.path).send(body, sign(body, "k-1", desk.running.secret))
    is_open = desk.sign is sign_hex
    assert (answer.status, effects(desk, elsewhere)) == ((200, 1) if is_open else (401, 0))


def test_an_older_event_is_not_applied_over_a_newer_one(desk: OrderDesk) -> None:
    """One after the other, even where the race is open."""
    event = letters(desk)[1]
    newer = replace(event, document={**event.document, "seq": 2})
    assert json.loads(send(desk, newer).body)["status"] == "booked"
    answer = send(desk, other(event))
    assert answer.status == (409 if desk.sign is sign_hex else 200)
    assert json.loads(answer.body).get("status") == (None if desk.sign is sign_hex else "superseded")
    assert (unsigned(desk, event.read)["seq"], effects(desk, event)) == (2, 1)


@pytest.mark.parametrize("route", range(4), ids=["reserve", "payment", "transfer", "coupon"])
def test_vulnerable_applies_one_message_several_times_at_once(vulnerable: OrderDesk, route: int) -> None:
    def applied() -> int:
        letter = letters(vulnerable)[route]
        volley(vulnerable, [letter] * SIZE)
        return effects(vulnerable, letter)

    assert any(applied() > 1 for _ in range(BURSTS))


def test_guarded_applies_one_message_once_however_many_arrive_together(safe: OrderDesk) -> None:
    for _ in range(5):
        for letter in letters(safe):
            assert len({(answer.status, answer.body) for answer in volley(safe, [letter] * SIZE)}) == 1
            assert effects(safe, letter) == 1


def test_guarded_never_gives_more_than_there_is(safe: OrderDesk) -> None:
    reservation, _, booking, voucher = letters(safe)
    for letter in (reservation, booking, voucher):
        answers = volley(safe, [other(letter) for _ in range(SIZE)])
        assert sorted(answer.status for answer in answers) == [200] * 5 + [409] * (SIZE - 5)
        assert unsigned(safe, letter.read)[letter.number] == 0


def test_guarded_transfers_in_both_directions_at_once_lose_nothing(safe: OrderDesk) -> None:
    one, two = account(safe, 100), account(safe, 100)
    sent = [
        Letter(
            "/transfer",
            {"transfer_id": uuid.uuid4().hex, "from": payer, "to": payee, "amount": 1},
            "transfer_id",
            f"/accounts/{payer}",
            "balance",
        )
        for payer, payee in [(one, two), (two, one)] * (SIZE // 2)
    ]
    assert {answer.status for answer in volley(safe, sent)} == {200}
    assert [unsigned(safe, f"/accounts/{name}")["balance"] for name in (one, two)] == [100, 100]


@pytest.mark.parametrize(
    ("route", "wrong"),
    [
        (0, {"reservation_id": None}),
        (1, {"seq": "1"}),
        (1, {"seq": -1}),
        (1, {"seq": True}),
        (1, {"seq": 2**63}),
        (1, {"account": ["acc"]}),
        (2, {"amount": -1}),
        (2, {"amount": "1"}),
        (2, {"amount": False}),
        (2, {"to": "\ud800"}),
        (3, {"coupon": None}),
    ],
)
def test_guarded_refuses_what_is_none_of_its_messages(safe: OrderDesk, route: int, wrong: dict[str, object]) -> None:
    letter = letters(safe)[route]
    assert send(safe, replace(letter, document={**letter.document, **wrong})).status == 400
    assert effects(safe, letter) == 0


@pytest.mark.parametrize("path", ["/api/reserve/a%00b", "/api/reserve/%ff", "/api/reserve/%ed%a0%80"])
def test_guarded_has_no_answer_of_500_for_a_name_that_a_database_refuses(safe: OrderDesk, path: str) -> None:
    assert send(safe, Letter(path, {"reservation_id": uuid.uuid4().hex}, "reservation_id", "", "")).status in {400, 409}


@pytest.mark.parametrize("path", ["/items/{}", "/accounts/{}", "/accounts/{}/with/{}", "/coupons/{}"])
def test_a_stranger_who_reads_such_a_name_gets_no_500_either(desk: OrderDesk, path: str) -> None:
    for name in ("a%00b", "%ff", "%ed%a0%80"):
        with closing(desk.connection()) as connection:
            connection.request("GET", path.format(name, name))
            assert connection.getresponse().status == 404


def test_strangers_may_neither_reset_nor_set_up(desk: OrderDesk, tmp_path: Path) -> None:
    """In a process of its own: every one of these services has modules of the same names."""
    environment = os.environ | {"LAB_SECRET": "only-for-this-test", "LAB_DATA": str(tmp_path)}
    if desk.running.database is not None:
        environment["LAB_DATABASE"] = desk.running.database.url
    command = [sys.executable, "-c", STRANGER]
    folder = LAB / desk.running.service.name
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == [[403, 403, 403, 403], [200, 201, 201, 201]]


def test_a_reset_forgets_everything_but_the_claims(desk: OrderDesk) -> None:
    voucher = letters(desk)[3]
    first = send(desk, voucher)
    assert unsigned(desk, "/__reset", {}) == {"status": "reset"}
    assert list(unsigned(desk, voucher.read)) == ["error"]
    assert (send(desk, voucher).body == first.body) == (desk.sign is not sign_hex)
