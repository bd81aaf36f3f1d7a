"""FastAPI on PostgreSQL, vulnerable and guarded: orders and four more routes, and every race open or closed."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import OrderDesk, sign_hex, sign_tocsin_v1
from tests.lab.services import assert_a_scan_says_the_truth, is_on_loopback_alone, started

# On fastapi-vulnerable each of 20 bursts of 16 showed either race, on two busy cores.
BURSTS = 20
SIZE = 16
JSON = {"Content-Type": "application/json"}
Message = tuple[bytes, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Route:
    """One of the signed routes.

    Args:
        path: with {thing} where the thing's name goes.
        table: of what it has applied.
        name: the member that names a message, and its column.
        things: where what it is about is set up and read.
        setup: the body that sets it up.
        left: the member of what is read that says how much is left.
        body: the rest of a message; {thing} stands for the thing's name.
    """

    path: str
    table: str
    name: str
    things: str
    setup: dict[str, int]
    left: str
    body: Mapping[str, object]


ONE_EVENT = {"account": "{thing}", "seq": 1, "amount": 1}
TO_ONESELF = {"source": "{thing}", "target": "{thing}", "amount": 1}
ORDER = Route("/order", "orders", "order_id", "items", {"stock": 5}, "stock", {"item": "{thing}", "qty": 1})
RESERVE = Route("/api/reserve/{thing}", "reserved", "reservation_id", "items", {"stock": 5}, "stock", {})
PAYMENT = Route("/webhooks/payment", "payments", "event_id", "accounts", {"balance": 0}, "balance", ONE_EVENT)
TRANSFER = Route("/transfer", "transferred", "transfer_id", "accounts", {"balance": 5}, "balance", TO_ONESELF)
COUPON = Route("/coupon/redeem", "redeemed", "redemption_id", "coupons", {"uses": 5}, "left", {"coupon": "{thing}"})
ROUTES = (ORDER, RESERVE, PAYMENT, TRANSFER, COUPON)
every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
what_runs_out = pytest.mark.parametrize("route", [ORDER, RESERVE, COUPON], ids=lambda route: route.table)


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


def ask(desk: OrderDesk, method: str, path: str, document: object = None) -> Any:
    with closing(desk.connection()) as connection:
        connection.request(method, path, json.dumps(document), JSON)
        return json.load(connection.getresponse())


def get(desk: OrderDesk, path: str) -> Any:
    return ask(desk, "GET", path)


def at(desk: OrderDesk, path: str) -> OrderDesk:
    """The same service's other route: under tocsin-v1 the path is signed."""
    sign = desk.sign if desk.sign is sign_hex else partial(sign_tocsin_v1, path=path)
    return OrderDesk(desk.running, sign, path=path)


def new_thing(desk: OrderDesk, route: Route, **setup: int) -> str:
    """What a message is about, which nothing has happened to."""
    return str(ask(desk, "POST", f"/{route.things}", route.setup | setup)[route.things.removesuffix("s")])


def message(desk: OrderDesk, route: Route, thing: str, name: str = "", **more: object) -> Message:
    """A signed message for a route, of a new name unless one is given."""
    name = name or uuid.uuid4().hex
    members = {member: thing if value == "{thing}" else value for member, value in route.body.items()}
    body = json.dumps({route.name: name} | members | more).encode()
    return body, JSON | at(desk, route.path.format(thing=thing)).sign(body, name, desk.running.secret)


def applied(desk: OrderDesk, route: Route, name: str) -> int:
    return desk.query(f"SELECT COUNT(*) FROM {route.table} WHERE {route.name} = ?", name)


def times_applied_at_once(desk: OrderDesk, route: Route) -> int:
    name, thing = uuid.uuid4().hex, new_thing(desk, route)
    at(desk, route.path.format(thing=thing)).volley([message(desk, route, thing, name)] * SIZE)
    return applied(desk, route, name)


def left_of_five(desk: OrderDesk, route: Route) -> int:
    """What is left of five after more distinct messages than that have come at once."""
    thing = new_thing(desk, route)
    at(desk, route.path.format(thing=thing)).volley([message(desk, route, thing) for _ in range(SIZE)])
    return int(get(desk, f"/{route.things}/{thing}")[route.left])


def newest_of_16_is_applied(desk: OrderDesk) -> bool:
    account = new_thing(desk, PAYMENT)
    at(desk, PAYMENT.path).volley([message(desk, PAYMENT, account, seq=seq) for seq in range(SIZE, 0, -1)])
    return bool(get(desk, f"/accounts/{account}")["seq"] == SIZE)


def money_after_transfers_both_ways(desk: OrderDesk, count: int) -> tuple[int, set[int]]:
    """Two accounts pay each other at once; how much both have together, and what the transfers were answered."""
    one, other = (new_thing(desk, TRANSFER, balance=SIZE) for _ in range(2))
    ways = [(one, other), (other, one)] * (count // 2)
    sent = [message(desk, TRANSFER, "", source=source, target=target) for source, target in ways]
    answers = at(desk, TRANSFER.path).volley(sent)
    balances = [int(get(desk, f"/accounts/{account}")["balance"]) for account in (one, other)]
    return sum(balances), {answer.status for answer in answers}


def test_an_order_can_be_cancelled_once(desk: OrderDesk) -> None:
    """Again, the guarded one says again what it said: the first cancellation's answer."""
    item, order_id = desk.new_item(), uuid.uuid4().hex
    cancel = at(desk, "/cancel")
    assert desk.send(*desk.order(item, order_id)).status == 200
    again = 404 if desk.sign is sign_hex else 200
    assert [cancel.send(*cancel.order(item, order_id)).status for _ in range(2)] == [200, again]
    assert get(desk, f"/items/{item}") == {"item": item, "stock": 5, "sold": 0, "reserved": 0}


def test_vulnerable_parses_what_nobody_has_signed(vulnerable: OrderDesk) -> None:
    answers = [vulnerable.send(body, JSON) for body in (b"{", b"[]")]
    assert [answer.status for answer in answers] == [422, 422]


def test_guarded_applies_one_order_once_however_many_arrive_together(guarded: OrderDesk) -> None:
    assert {guarded.duplicates(SIZE) for _ in range(BURSTS)} == {1}


def test_guarded_never_sells_more_than_it_has(guarded: OrderDesk) -> None:
    assert {guarded.oversold(SIZE) for _ in range(BURSTS)} == {0}


def test_guarded_answers_a_duplicate_with_the_first_answer_whole(guarded: OrderDesk) -> None:
    order = guarded.order(guarded.new_item(), uuid.uuid4().hex)
    first, again = guarded.send(*order), guarded.send(*order)
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"


@every_route
def test_the_same_message_later_changes_nothing(desk: OrderDesk, route: Route) -> None:
    name, thing = uuid.uuid4().hex, new_thing(desk, route)
    door = at(desk, route.path.format(thing=thing))
    assert [door.send(*message(desk, route, thing, name)).status for _ in range(3)] == [200, 200, 200]
    assert applied(desk, route, name) == 1


@what_runs_out
def test_there_are_so_many_and_no_more(desk: OrderDesk, route: Route) -> None:
    thing = new_thing(desk, route)
    door = at(desk, route.path.format(thing=thing))
    assert [door.send(*message(desk, route, thing)).status for _ in range(6)] == [200] * 5 + [409]
    gone = {"orders": "sold"}.get(route.table, route.table)
    assert {route.left: 0, gone: 5}.items() <= get(desk, f"/{route.things}/{thing}").items()


@every_route
def test_a_forged_message_is_refused_and_changes_nothing(desk: OrderDesk, route: Route) -> None:
    name, thing = uuid.uuid4().hex, new_thing(desk, route)
    body, headers = message(desk, route, thing, name)
    forged = {field: "0" * 64 if "Signature" in field else value for field, value in headers.items()}
    assert at(desk, route.path.format(thing=thing)).send(body, forged).status == 401
    assert applied(desk, route, name) == 0


def test_money_changes_hands_and_no_more_than_there_is(desk: OrderDesk) -> None:
    one, other = (new_thing(desk, TRANSFER) for _ in range(2))
    wanted = [(one, other, 3), (one, other, 3), (one, "acc-none", 1), (other, one, 8)]
    sent = [
        message(desk, TRANSFER, "", source=source, target=target, amount=amount) for source, target, amount in wanted
    ]
    assert [at(desk, TRANSFER.path).send(*each).status for each in sent] == [200, 409, 404, 200]
    read = [get(desk, f"/accounts/{account}") for account in (one, other)]
    assert [(account["balance"], account["paid"]) for account in read] == [(10, 3), (0, 8)]


def test_it_listens_on_loopback_alone_and_forgets_when_it_is_told_to(desk: OrderDesk) -> None:
    things = [f"/{route.things}/{new_thing(desk, route)}" for route in ROUTES]
    assert is_on_loopback_alone(desk.running)
    assert ask(desk, "POST", "/__reset") == {"status": "reset"}
    assert [set(get(desk, thing)) for thing in things] == [{"detail"}] * len(things)


@every_route
def test_vulnerable_applies_one_message_several_times_at_once(vulnerable: OrderDesk, route: Route) -> None:
    assert any(times_applied_at_once(vulnerable, route) > 1 for _ in range(BURSTS))


@what_runs_out
def test_vulnerable_gives_away_more_than_there_is(vulnerable: OrderDesk, route: Route) -> None:
    assert any(left_of_five(vulnerable, route) < 0 for _ in range(BURSTS))


def test_vulnerable_applies_an_older_event_over_a_newer_one(vulnerable: OrderDesk) -> None:
    assert not all(newest_of_16_is_applied(vulnerable) for _ in range(BURSTS))


def test_vulnerable_makes_money_or_loses_it(vulnerable: OrderDesk) -> None:
    assert any(money_after_transfers_both_ways(vulnerable, SIZE)[0] != 2 * SIZE for _ in range(BURSTS))


def test_a_message_for_one_item_reserves_another_on_the_vulnerable_one_alone(
    vulnerable: OrderDesk, guarded: OrderDesk
) -> None:
    """The path says which item, and is not signed there."""
    for desk, status in ((vulnerable, 200), (guarded, 401)):
        one, other = (new_thing(desk, RESERVE) for _ in range(2))
        assert at(desk, RESERVE.path.format(thing=other)).send(*message(desk, RESERVE, one)).status == status


@every_route
def test_guarded_applies_one_message_once_however_many_arrive_together(guarded: OrderDesk, route: Route) -> None:
    assert {times_applied_at_once(guarded, route) for _ in range(3)} == {1}


@what_runs_out
def test_guarded_gives_away_what_there_is(guarded: OrderDesk, route: Route) -> None:
    assert {left_of_five(guarded, route) for _ in range(3)} == {0}


def test_guarded_ends_with_the_newest_event(guarded: OrderDesk) -> None:
    assert all(newest_of_16_is_applied(guarded) for _ in range(3))


def test_guarded_answers_an_older_event_and_leaves_it_out(guarded: OrderDesk) -> None:
    account, door = new_thing(guarded, PAYMENT), at(guarded, PAYMENT.path)
    newer, older = (door.send(*message(guarded, PAYMENT, account, seq=seq)) for seq in (7, 6))
    assert [answer.status for answer in (newer, older)] == [200, 200]
    assert json.loads(older.body)["status"] == "superseded"
    assert get(guarded, f"/accounts/{account}") == {"account": account, "balance": 1, "seq": 7, "paid": 0}


def test_guarded_keeps_the_money_together(guarded: OrderDesk) -> None:
    """Each takes its own account's row, then the other's: where two wait for each other, one is undone and runs again.

    The other one has both rows and commits, so none of six is undone more than five times, and endpoints run six times.
    """
    assert [money_after_transfers_both_ways(guarded, 6) for _ in range(3)] == [(2 * SIZE, {200})] * 3


@every_route
@pytest.mark.parametrize("name", [None, ["a"], "", "a\0b", "é"])
def test_guarded_refuses_what_is_no_name_without_an_error_of_its_own(
    guarded: OrderDesk, route: Route, name: object
) -> None:
    thing = new_thing(guarded, route)
    body, _ = message(guarded, route, thing)
    body = json.dumps(json.loads(body) | {route.name: name}).encode()
    door = at(guarded, route.path.format(thing=thing))
    assert door.send(body, JSON | door.sign(body, "some-key", guarded.running.secret)).status in {400, 422}
    assert get(guarded, f"/{route.things}/{thing}")[route.left] == next(iter(route.setup.values()))


def test_guarded_remembers_through_a_reset(guarded: OrderDesk) -> None:
    sent, door = message(guarded, COUPON, new_thing(guarded, COUPON)), at(guarded, COUPON.path)
    first = door.send(*sent)
    assert ask(guarded, "POST", "/__reset") == {"status": "reset"}
    assert door.send(*sent).body == first.body


def test_a_scan_says_what_is_true_of_the_vulnerable_one(vulnerable: OrderDesk, tmp_path: Path) -> None:
    assert_a_scan_says_the_truth(
        vulnerable.running, tmp_path, "concurrent-duplicate", "over-allocation", "parse-before-verification"
    )
