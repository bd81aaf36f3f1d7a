"""Serialisation failures and deadlocks: the handler runs again, and one run's writes stay."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.guard.postgres.cluster import Database
from tests.guard.postgres.conftest import MakeShop
from tests.guard.postgres.shop import PostgresShop
from tests.guard.server_shop import order_id_of, write_order
from tests.guard.shop import HEX, SECRET
from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.postgres import PostgresStore, Transaction
from tocsin.signing import KeyRing, Message, sign

TAKE_ONE = "UPDATE stock SET pieces = pieces - 1"


@pytest.fixture
def stock(database: Database) -> None:
    make_stock(database)


def make_stock(database: Database) -> None:
    database.query(
        "CREATE TABLE stock (item text PRIMARY KEY, pieces integer); INSERT INTO stock VALUES ('a', 5), ('b', 5)"
    )


def at(database: Database, level: IsolationLevel) -> PostgresStore:
    def connect() -> psycopg.Connection[Any]:
        connection = psycopg.connect(database.conninfo())
        connection.isolation_level = level
        return connection

    return PostgresStore(connect)


def pieces(database: Database) -> list[int]:
    return [count for (count,) in database.query("SELECT pieces FROM stock ORDER BY item")]


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
@pytest.mark.parametrize("swallowed", [(), (psycopg.Error,)], ids=["raised", "swallowed"])
def test_a_serialization_failure_in_the_handler_runs_it_again(
    level: IsolationLevel, swallowed: tuple[type[Exception], ...], make_shop: MakeShop, database: Database
) -> None:
    """Whatever the handler makes of the error: its transaction has gone."""

    def takes_one(signed: Signed, tx: Transaction) -> Any:
        tx.execute("SELECT pieces FROM stock").fetchall()
        if shop.runs == 1:
            database.query(TAKE_ONE)
        with suppress(*swallowed):
            tx.execute(TAKE_ONE)
        return write_order(signed, tx) if shop.runs > 1 or not swallowed else ("sorry", 409)

    shop = make_shop(store=at(database, level), handler=takes_one)
    assert shop.order().status_code == 201
    assert (shop.runs, database.orders, pieces(database)) == (2, ["17"], [3, 3])


@pytest.mark.usefixtures("stock")
def test_a_serialization_failure_at_commit_runs_the_handler_again(make_shop: MakeShop, database: Database) -> None:
    """Write skew: each reads what the other writes, and the server notices when the answer is stored or at COMMIT."""
    other = psycopg.connect(database.conninfo())
    other.isolation_level = IsolationLevel.SERIALIZABLE

    def skewed(signed: Signed, tx: Transaction) -> Any:
        tx.execute("SELECT sum(pieces) FROM stock").fetchone()
        tx.execute("UPDATE stock SET pieces = 0 WHERE item = 'a'")
        if shop.runs == 1:
            other.execute("SELECT sum(pieces) FROM stock")
            other.execute("UPDATE stock SET pieces = 0 WHERE item = 'b'")
            other.commit()
        return write_order(signed, tx)

    shop = make_shop(store=at(database, IsolationLevel.SERIALIZABLE), handler=skewed)
    assert shop.order().status_code == 201
    assert (shop.runs, database.orders) == (2, ["17"])
    other.close()


def test_of_two_handlers_in_a_deadlock_one_runs_again(make_shop: MakeShop, database: Database) -> None:
    make_stock(database)
    both_hold_one = Barrier(2)

    def crosses(signed: Signed, tx: Transaction) -> Any:
        items = ("a", "b") if order_id_of(signed) == "1" else ("b", "a")
        is_first_run = not ran[order_id_of(signed)]
        ran[order_id_of(signed)] = True
        tx.execute(f"{TAKE_ONE} WHERE item = %s", (items[0],))
        if is_first_run:
            both_hold_one.wait(60)
        tx.execute(f"{TAKE_ONE} WHERE item = %s", (items[1],))
        return write_order(signed, tx)

    ran = {"1": False, "2": False}
    shop = make_shop(handler=crosses)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(shop.order, ["1", "2"]))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert (shop.runs, sorted(database.orders), pieces(database)) == (3, ["1", "2"], [3, 3])


@pytest.mark.usefixtures("stock")
def test_a_handler_that_conflicts_every_time_is_503_and_nothing_is_kept(
    make_shop: MakeShop, database: Database
) -> None:
    def unlucky(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        database.query(TAKE_ONE)
        tx.execute(TAKE_ONE)
        return rendered

    shop = make_shop(store=at(database, IsolationLevel.REPEATABLE_READ), handler=unlucky)
    answer = shop.order()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert (shop.runs, database.orders, database.claims) == (6, [], 0)


@pytest.mark.usefixtures("stock")
def test_a_conflict_that_the_handler_has_undone_by_a_savepoint_is_its_own_affair(
    make_shop: MakeShop, database: Database
) -> None:
    def gives_up(signed: Signed, tx: Transaction) -> Any:
        database.query(TAKE_ONE)
        with suppress(psycopg.errors.SerializationFailure), tx.savepoint():
            tx.execute(TAKE_ONE)
        return write_order(signed, tx)

    shop = make_shop(store=at(database, IsolationLevel.REPEATABLE_READ), handler=gives_up)
    assert shop.order().status_code == 201
    assert (shop.runs, pieces(database)) == (1, [4, 4])


class Nested:
    """A guarded order whose handler calls another guarded operation."""

    def __init__(self, shop: PostgresShop, inner: Callable[[Signed, Transaction], Any]) -> None:
        self.inner_runs = 0
        guard = Guard(HEX, KeyRing.of(SECRET), shop.store, clock=shop.clock, shared_secret=True)

        @shop.app.post("/bill")
        @guard.flask(key=json_pointer("/bill_id"))
        def bill(signed: Signed, tx: Transaction) -> Any:
            self.inner_runs += 1
            return inner(signed, tx)

        self.shop = shop

    def call(self, bill_id: str = "b17") -> Any:
        """From inside the outer handler, on its thread."""
        body = json.dumps({"bill_id": bill_id}).encode()
        headers = sign(Message("POST", "/bill", (), body), HEX, SECRET, now=self.shop.clock.now)
        return self.shop.app.test_client().post("/bill", data=body, headers=list(headers))


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize("swallowed", [(), (psycopg.Error,)], ids=["raised", "swallowed"])
def test_a_conflict_in_a_nested_operation_runs_the_outer_one_again(
    swallowed: tuple[type[Exception], ...], make_shop: MakeShop, database: Database
) -> None:
    """Only a new transaction sees what has changed."""

    def takes_one(_: Signed, tx: Transaction) -> Any:
        if shop.runs == 1:
            database.query(TAKE_ONE)
        with suppress(*swallowed):
            tx.execute(TAKE_ONE)
        return "billed"

    def orders(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        nested.call()
        return rendered

    shop = make_shop(store=at(database, IsolationLevel.REPEATABLE_READ), handler=orders, guard={"shared_secret": True})
    nested = Nested(shop, takes_one)
    assert shop.order().status_code == 201
    assert (shop.runs, nested.inner_runs) == (2, 2)
    assert (database.orders, database.claims, pieces(database)) == (["17"], 2, [3, 3])


def test_of_two_operations_whose_nested_claims_cross_one_runs_again(make_shop: MakeShop, database: Database) -> None:
    """Neither can be granted before the other has ended: a deadlock over two keys."""
    both_hold_one = Barrier(2)

    def crosses(signed: Signed, tx: Transaction) -> Any:
        order_id = order_id_of(signed)
        is_first_run, ran[order_id] = not ran[order_id], True
        bills = ("x", "y") if order_id == "1" else ("y", "x")
        nested[order_id].call(bills[0])
        if is_first_run:
            both_hold_one.wait(60)
        nested[order_id].call(bills[1])
        return write_order(signed, tx)

    ran = {"1": False, "2": False}
    shops = {name: make_shop(handler=crosses, guard={"shared_secret": True, "wait_s": 30}) for name in ran}
    nested = {name: Nested(shop, lambda *_: "billed") for name, shop in shops.items()}
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: shops[name].order(name), ran))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert sum(shop.runs for shop in shops.values()) == 3
    assert (sorted(database.orders), database.claims) == (["1", "2"], 4)


def test_a_nested_operation_is_a_savepoint_under_its_own_key(make_shop: MakeShop, database: Database) -> None:
    """It is committed with the outer one or undone with it; undone alone when its own handler fails."""
    results: list[int] = []

    def orders(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        results.extend(nested.call().status_code for _ in range(2))
        if shop.runs == 1:
            raise RuntimeError("too late")
        return rendered

    def bills(_: Signed, tx: Transaction) -> Any:
        tx.execute("INSERT INTO orders (order_id) VALUES ('bill')")
        return ("no", 503) if nested.inner_runs == 1 else ("billed", 201)

    shop = make_shop(handler=orders, guard={"shared_secret": True})
    nested = Nested(shop, bills)
    assert shop.order().status_code == 500
    assert (database.orders, database.claims) == ([], 0)
    assert shop.order().status_code == 201
    # The first was undone alone, the second stood until the outer one failed; then one run and one replay.
    assert (results, nested.inner_runs) == ([503, 201, 201, 201], 3)
    assert (database.orders, database.claims) == (["17", "bill"], 2)


@pytest.mark.parametrize("level", list(IsolationLevel)[1:])
def test_a_nested_duplicate_gets_what_another_process_committed_meanwhile(
    level: IsolationLevel, make_shop: MakeShop, database: Database
) -> None:
    """Where the outer transaction sees an older state too."""

    def orders(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        tx.execute("SELECT 1")
        assert elsewhere.call().status_code == 201
        assert nested.call().headers["Idempotent-Replayed"] == "true"
        return rendered

    shop = make_shop(store=at(database, level), handler=orders, guard={"shared_secret": True})
    nested = Nested(shop, lambda *_: ("billed here", 201))
    elsewhere = Nested(make_shop(guard={"shared_secret": True}), lambda *_: ("billed there", 201))
    assert shop.order().status_code == 201
    assert (nested.inner_runs, elsewhere.inner_runs, database.claims) == (0, 1, 2)


def test_a_nested_operation_in_a_transaction_that_does_not_stand_is_500(
    make_shop: MakeShop, database: Database
) -> None:
    def orders(signed: Signed, tx: Transaction) -> Any:
        with suppress(psycopg.Error):
            tx.execute("SELECT 1 / 0")
        assert nested.call().status_code == 500
        return signed.json()

    shop = make_shop(handler=orders, guard={"shared_secret": True})
    nested = Nested(shop, write_order)
    assert shop.order().status_code == 500
    assert (nested.inner_runs, database.claims) == (0, 0)


def test_a_handler_that_calls_itself_under_its_own_key_is_told_so(shop: PostgresShop) -> None:
    shop.app.testing = True
    shop.handler = lambda *_: shop.order()
    with pytest.raises(ValueError, match="its handler called itself again under its own key"):
        shop.order()
    assert shop.database.claims == 0
