"""Actix in Rust: vulnerable, as two published remedies have it, and guarded; five routes, every race open or closed."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import Answer, OrderDesk, sign_hex, sign_tocsin_v1
from tests.lab.services import assert_a_scan_says_the_truth, is_on_loopback_alone, started

# On actix-vulnerable 18 to 20 of 20 bursts of 16 showed each of the races, on two busy cores.
BURSTS = 20
SIZE = 16


@dataclass(frozen=True, slots=True)
class Route:
    """One of the signed routes.

    Args:
        path: with {thing} where the thing's name goes.
        table: of what it has applied.
        name: the member that names a message, and the column beside it.
        kind: what has to be set up first, and how: the member of the answer that names it.
        setup: the body of that.
        body: the rest of a message; {thing} stands for the thing's name.
    """

    path: str
    table: str
    name: str
    kind: str
    setup: dict[str, int]
    body: Mapping[str, object]


ONE_EVENT = {"account": "{thing}", "seq": 1, "amount": 1}
TO_ONESELF = {"source": "{thing}", "target": "{thing}", "amount": 1}
ROUTES = [
    Route("/order", "orders", "order_id", "item", {"stock": 5}, {"item": "{thing}", "qty": 1}),
    Route("/api/reserve/{thing}", "reservations", "reservation_id", "item", {"stock": 5}, {}),
    Route("/webhooks/payment", "events", "event_id", "account", {"balance": 0}, ONE_EVENT),
    Route("/transfer", "transfers", "transfer_id", "account", {"balance": 5}, TO_ONESELF),
    Route("/coupon/redeem", "redemptions", "redemption_id", "coupon", {"uses": 5}, {"coupon": "{thing}"}),
]
LIMITED = [route for route in ROUTES if route.kind != "account"]


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[OrderDesk]:
    with started("actix-vulnerable") as running:
        yield OrderDesk(running, sign_hex)


@pytest.fixture(scope="module")
def guarded() -> Iterator[OrderDesk]:
    with started("actix-guarded") as running:
        yield OrderDesk(running, sign_tocsin_v1)


@pytest.fixture(scope="module")
def transaction() -> Iterator[OrderDesk]:
    with started("actix-transaction") as running:
        yield OrderDesk(running, sign_hex, path="/api/reserve")


@pytest.fixture(scope="module")
def mutex() -> Iterator[OrderDesk]:
    with started("actix-mutex") as running:
        yield OrderDesk(running, sign_hex)


@pytest.fixture(params=["vulnerable", "guarded"])
def desk(request: pytest.FixtureRequest) -> OrderDesk:
    found: OrderDesk = request.getfixturevalue(request.param)
    return found


def ask(desk: OrderDesk, method: str, path: str, document: object = None) -> Any:
    with closing(desk.connection()) as connection:
        connection.request(method, path, json.dumps(document), {"Content-Type": "application/json"})
        return json.load(connection.getresponse())


def new_thing(desk: OrderDesk, route: Route, **setup: int) -> str:
    return str(ask(desk, "POST", f"/{route.kind}s", route.setup | setup)[route.kind])


def at(desk: OrderDesk, path: str) -> OrderDesk:
    """The same service's other route."""
    sign = partial(sign_tocsin_v1, path=path) if desk.sign is sign_tocsin_v1 else desk.sign
    return OrderDesk(desk.running, sign, path=path)


def message(desk: OrderDesk, route: Route, thing: str, name: str = "", **more: object) -> tuple[bytes, dict[str, str]]:
    """A signed message for a route, of a new name unless one is given."""
    name = name or uuid.uuid4().hex
    members = {member: thing if value == "{thing}" else value for member, value in route.body.items()}
    body = json.dumps({route.name: name} | members | more).encode()
    signed = at(desk, route.path.format(thing=thing)).sign(body, name, desk.running.secret)
    return body, {"Content-Type": "application/json"} | signed


def times_applied_at_once(desk: OrderDesk, route: Route) -> int:
    name, thing = uuid.uuid4().hex, new_thing(desk, route)
    at(desk, route.path.format(thing=thing)).volley([message(desk, route, thing, name)] * SIZE)
    return desk.query(f"SELECT COUNT(*) FROM {route.table} WHERE {route.name} = ?", name)


def left_of_five(desk: OrderDesk, route: Route) -> int:
    """What is left of five pieces after more distinct messages than that have come at once."""
    thing = new_thing(desk, route)
    at(desk, route.path.format(thing=thing)).volley([message(desk, route, thing) for _ in range(SIZE)])
    read = ask(desk, "GET", f"/{route.kind}s/{thing}")
    return int(read["stock" if route.kind == "item" else "left"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_a_message_is_applied_once_one_after_the_other(desk: OrderDesk, route: Route) -> None:
    name, thing = uuid.uuid4().hex, new_thing(desk, route)
    door = at(desk, route.path.format(thing=thing))
    assert [door.send(*message(desk, route, thing, name)).status for _ in range(3)] == [200, 200, 200]
    assert desk.query(f"SELECT COUNT(*) FROM {route.table} WHERE {route.name} = ?", name) == 1


@pytest.mark.parametrize("route", LIMITED, ids=lambda route: route.table)
def test_there_are_so_many_and_no_more(desk: OrderDesk, route: Route) -> None:
    thing = new_thing(desk, route)
    door = at(desk, route.path.format(thing=thing))
    answers = [door.send(*message(desk, route, thing)).status for _ in range(7)]
    assert answers == [200] * 5 + [409] * 2


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", "zz", "t=1,k=lab,v1=00"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_a_forgery_is_refused_and_changes_nothing(desk: OrderDesk, route: Route, signature: str) -> None:
    name, thing = uuid.uuid4().hex, new_thing(desk, route)
    body, headers = message(desk, route, thing, name)
    forged = {field: signature if "Signature" in field else value for field, value in headers.items()}
    assert at(desk, route.path.format(thing=thing)).send(body, forged).status == 401
    assert desk.query(f"SELECT COUNT(*) FROM {route.table} WHERE {route.name} = ?", name) == 0


@pytest.mark.parametrize("service", ["vulnerable", "guarded", "transaction", "mutex"])
def test_it_listens_on_loopback_alone_and_forgets_when_it_is_told_to(
    service: str, request: pytest.FixtureRequest
) -> None:
    desk: OrderDesk = request.getfixturevalue(service)
    assert is_on_loopback_alone(desk.running)
    assert ask(desk, "POST", "/__reset") == {"status": "reset"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_vulnerable_applies_one_message_several_times_at_once(vulnerable: OrderDesk, route: Route) -> None:
    assert any(times_applied_at_once(vulnerable, route) > 1 for _ in range(BURSTS))


@pytest.mark.parametrize("route", LIMITED, ids=lambda route: route.table)
def test_vulnerable_gives_away_more_than_there_is(vulnerable: OrderDesk, route: Route) -> None:
    assert any(left_of_five(vulnerable, route) < 0 for _ in range(BURSTS))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_guarded_applies_one_message_once_however_many_arrive_together(guarded: OrderDesk, route: Route) -> None:
    assert {times_applied_at_once(guarded, route) for _ in range(3)} == {1}


@pytest.mark.parametrize("route", LIMITED, ids=lambda route: route.table)
def test_guarded_gives_away_what_there_is(guarded: OrderDesk, route: Route) -> None:
    assert {left_of_five(guarded, route) for _ in range(3)} == {0}


def newest_is_applied(desk: OrderDesk) -> bool:
    """Send numbered events at once; whether the newest is what the account says."""
    payment = next(route for route in ROUTES if route.table == "events")
    account = new_thing(desk, payment)
    at(desk, payment.path).volley([message(desk, payment, account, seq=seq) for seq in range(1, SIZE + 1)])
    return bool(ask(desk, "GET", f"/accounts/{account}")["seq"] == SIZE)


def test_vulnerable_applies_an_older_event_over_a_newer_one(vulnerable: OrderDesk) -> None:
    assert not all(newest_is_applied(vulnerable) for _ in range(BURSTS))


def test_guarded_ends_with_the_newest_event(guarded: OrderDesk) -> None:
    assert all(newest_is_applied(guarded) for _ in range(5))


def money_after_transfers_both_ways(desk: OrderDesk, count: int) -> tuple[int, set[int]]:
    """Two accounts pay each other at once; how much both have together, and what the transfers were answered."""
    transfer = next(route for route in ROUTES if route.table == "transfers")
    one, other = (new_thing(desk, transfer, balance=SIZE) for _ in range(2))
    ways = [(one, other), (other, one)] * (count // 2)
    answers = at(desk, transfer.path).volley(
        [message(desk, transfer, way[0], source=way[0], target=way[1]) for way in ways]
    )
    balances = [int(ask(desk, "GET", f"/accounts/{account}")["balance"]) for account in (one, other)]
    return sum(balances), {answer.status for answer in answers}


def test_vulnerable_makes_money_or_loses_it(vulnerable: OrderDesk) -> None:
    assert any(money_after_transfers_both_ways(vulnerable, SIZE)[0] != 2 * SIZE for _ in range(BURSTS))


def test_guarded_keeps_the_money_together_and_runs_again_what_deadlocks(guarded: OrderDesk) -> None:
    """Each takes its own account's row, then the other's: two wait for each other, and one of them is undone.

    The other one has both rows and commits, so none of six is undone more than five times, and handlers run six times.
    """
    assert [money_after_transfers_both_ways(guarded, 6) for _ in range(5)] == [(2 * SIZE, {200})] * 5


def reservation(desk: OrderDesk, spelled: str) -> tuple[bytes, dict[str, str]]:
    body = spelled.encode()
    canonical = json.dumps(json.loads(spelled), separators=(",", ":")).encode()
    return body, {"Content-Type": "application/json"} | sign_hex(canonical, "", desk.running.secret)


def reservations_at_once(desk: OrderDesk, item: str, count: int, *, path: str = "") -> list[Answer]:
    """Distinct ones."""
    members = {} if path else {"item_id": item}
    bodies = [{"request_id": uuid.uuid4().hex} | members for _ in range(count)]
    return OrderDesk(desk.running, desk.sign, path=path or desk.path).volley(
        [reservation(desk, json.dumps(body)) for body in bodies]
    )


def test_the_published_transaction_never_sells_more_than_it_has_and_sells_again_on_every_replay(
    transaction: OrderDesk,
) -> None:
    item = transaction.new_item(stock=5)
    statuses = [answer.status for answer in reservations_at_once(transaction, item, SIZE)]
    assert sorted(statuses) == [200] * 5 + [409] * (SIZE - 5)
    again = reservation(transaction, f'{{"request_id":"r","item_id":"{transaction.new_item(stock=3)}"}}')
    assert [transaction.send(*again).status for _ in range(4)] == [200, 200, 200, 409]


def test_the_published_transaction_signs_a_meaning_and_parses_first(transaction: OrderDesk) -> None:
    item = transaction.new_item()
    spelled = f'{{ "request_id" : "r",\n "item_id" : "{item}" }}'
    assert transaction.send(*reservation(transaction, spelled)).status == 200
    body, headers = reservation(transaction, spelled)
    assert transaction.send(b"{", headers).status == 400
    assert transaction.send(body, headers | {"X-Signature": "no hex"}).status == 400
    assert transaction.send(body, headers | {"X-Signature": "00" * 32}).status == 401


def test_the_published_mutex_never_sells_more_than_it_has_and_its_messages_name_no_item(mutex: OrderDesk) -> None:
    one, other = (f"/api/reserve/{uuid.uuid4().hex}" for _ in range(2))
    ask(mutex, "POST", one.replace("/api/reserve", "/items"), {"stock": 5})
    answers = reservations_at_once(mutex, "", SIZE, path=one)
    assert sorted(answer.status for answer in answers) == [200] * 5 + [409] * (SIZE - 5)
    captured = reservation(mutex, '{"request_id":"r"}')
    assert [OrderDesk(mutex.running, sign_hex, path=other).send(*captured).status for _ in range(2)] == [200, 200]
    assert ask(mutex, "GET", other.replace("/api/reserve", "/items")) == {"stock": 98}


def test_the_published_mutex_sells_everything_again_after_a_restart() -> None:
    with started("actix-mutex") as running:
        desk = OrderDesk(running, sign_hex, path="/api/reserve/sku")
        ask(desk, "POST", "/items/sku", {"stock": 0})
        once = reservation(desk, '{"request_id":"r"}')
        assert desk.send(*once).status == 409
        running.restart()
        assert desk.send(*once).status == 200


def test_a_scan_says_what_is_true_of_the_vulnerable_one(vulnerable: OrderDesk, tmp_path: Path) -> None:
    assert_a_scan_says_the_truth(
        vulnerable.running, tmp_path, "concurrent-duplicate", "over-allocation", "parse-before-verification"
    )


def test_a_scan_says_what_is_true_of_the_published_remedies(
    transaction: OrderDesk, mutex: OrderDesk, tmp_path: Path
) -> None:
    for desk in (transaction, mutex):
        assert_a_scan_says_the_truth(
            desk.running, tmp_path, "concurrent-duplicate", "sequential-replay", "signature-coverage"
        )
