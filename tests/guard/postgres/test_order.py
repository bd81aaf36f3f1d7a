"""Order on PostgreSQL: what waits for whom, for how long, and what a lost connection leaves behind."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from tests.guard.postgres.cluster import Database
from tests.guard.postgres.shop import PostgresShop
from tests.guard.server_shop import write_order
from tocsin.guard import Signed, json_pointer, sequence
from tocsin.guard.stores import Granted
from tocsin.guard.stores.postgres import PostgresStore, Transaction
from tocsin.guard.testing import ANSWER, claim

MakeShop = Callable[..., PostgresShop]
ORDERED: dict[str, Any] = {"sequence": sequence(number=json_pointer("/version")), "wait_s": 30.0}


def until(event: Event, request: Future[Any]) -> None:
    """Until the request has come so far; or raises what it raised."""
    while not event.wait(0.05):
        assert not request.done(), request.result()


def send(shop: PostgresShop, version: int) -> Any:
    return shop.order(f"v{version}", version=version)


def granted(store: PostgresStore, name: str, number: int) -> Granted[Transaction]:
    taken = store.take(claim(name, number=number), 30)
    assert isinstance(taken, Granted)
    return taken


def test_a_newer_message_whose_service_is_killed_leaves_no_number_and_holds_nobody_up(
    make_shop: MakeShop, database: Database
) -> None:
    """The server ends the connection while the handler runs and an older message waits for it."""
    waits = Event()

    def handler(signed: Signed, tx: Transaction) -> Any:
        if json.loads(signed.body)["version"] == 2:
            waits.set()
            database.await_waiting()
            database.query("SELECT pg_terminate_backend(%s)", tx.execute("SELECT pg_backend_pid()").fetchall()[0][0])
        return write_order(signed, tx)

    shop = make_shop(handler=handler, guard=ORDERED)
    with ThreadPoolExecutor(2) as pool:
        newer = pool.submit(send, shop, 2)
        until(waits, newer)
        older = pool.submit(send, shop, 1)
    assert (newer.result().status_code, older.result().status_code) == (503, 201)
    assert database.orders == ["v1"]
    assert database.query("SELECT number FROM tocsin_sequences") == [(1,)]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_handler_sees_all_that_its_stream_has_applied(make_shop: MakeShop, database: Database, level: str) -> None:
    """Of what it waited for, too; where its snapshot would hide that, the server says that they conflict."""
    running, seen = Event(), []

    def handler(signed: Signed, tx: Transaction) -> Any:
        seen.append(tx.execute("SELECT count(*) FROM orders").fetchall()[0][0])
        if not running.is_set():
            running.set()
            database.await_waiting()
        return write_order(signed, tx)

    options = f"-c default_transaction_isolation={level.replace(' ', chr(92) + ' ')}"
    store = PostgresStore(database.conninfo(options=options))
    shop = make_shop(store=store, handler=handler, guard=ORDERED)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, shop, 1)
        until(running, first)
        second = pool.submit(send, shop, 2)
    assert {first.result().status_code, second.result().status_code} == {201}
    assert (database.orders, seen) == (["v1", "v2"], [0, 1])


def test_the_applications_own_lock_timeout_stands_whatever_came_of_the_number(database: Database) -> None:
    """A superseded message inside of another one's handler has no COMMIT that would put it back."""
    store = PostgresStore(database.conninfo())
    outer = granted(store, "outer", 2)
    assert outer.advance(30)
    inner = granted(store, "inner", 1)
    assert not inner.advance(30)
    inner.settle(ANSWER)
    assert outer.tx.execute("SELECT current_setting('lock_timeout')").fetchall() == [("0",)]
    outer.settle(ANSWER)
    store.close()


def test_a_database_without_streams_serves_operations_without_an_order_and_says_what_the_others_want(
    make_shop: MakeShop, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """As an older version of the guard, or a service in another language, has made it."""
    database.query("DROP TABLE tocsin_sequences")
    plain = make_shop()
    assert plain.order().status_code == 201
    ordered = make_shop(guard=ORDERED)
    assert send(ordered, 1).status_code == 503
    assert "wanted: run PostgresStore.migrate() once" in caplog.text
    assert (ordered.runs, database.claims) == (0, 1)
    ordered.store.migrate()
    assert send(ordered, 1).status_code == 201
