"""Order on MariaDB: what a handler reads after it has waited, at InnoDB's own level and at the others."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

import pytest
from flask import abort
from pymysql.constants import CLIENT

from tests.guard.mariadb.server import Database
from tests.guard.mariadb.shop import MariaDBShop
from tests.guard.server_shop import write_order
from tocsin.guard import Signed, StoreUnavailable, json_pointer, sequence
from tocsin.guard.stores import Granted
from tocsin.guard.stores.mariadb import MariaDBStore
from tocsin.guard.stores.mariadb._admin import administration
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

MakeShop = Callable[..., MariaDBShop]
ORDERED: dict[str, Any] = {"sequence": sequence(number=json_pointer("/version")), "wait_s": 30.0}


def until(event: Event, request: Future[Any]) -> None:
    """Until the request has come so far; or raises what it raised."""
    while not event.wait(0.05):
        assert not request.done(), request.result()


def send(shop: MariaDBShop, version: int) -> Any:
    return shop.order(f"v{version}", version=version)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "READ COMMITTED", "SERIALIZABLE"])
def test_a_handler_sees_all_that_its_stream_has_applied(database: Database, level: str) -> None:
    """Of what it waited for, too, by a plain SELECT, and though the claim itself has read what was forgotten."""
    with closing(
        MariaDBStore(partial(database.connect, init_command=f"SET SESSION TRANSACTION ISOLATION LEVEL {level}"))
    ) as store:

        def apply(number: int, running: Event) -> int:
            wanted = replace(claim(f"{number}", number=number), earliest_unix_ms=NOW_UNIX_MS)
            granted = store.take(wanted, 30)
            assert isinstance(granted, Granted)
            assert granted.advance(30)
            running.set()
            if number == 1:
                database.await_waiting()
            [(seen,)] = granted.tx.execute("SELECT COUNT(*) FROM orders").fetchall()
            granted.tx.execute("INSERT INTO orders (order_id) VALUES ('v')")
            granted.settle(ANSWER)
            return int(seen)

        running = Event()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(apply, 1, running)
            until(running, first)
            second = pool.submit(apply, 2, Event())
        assert (first.result(), second.result()) == (0, 1)


def test_a_newer_message_whose_service_is_killed_leaves_no_number_and_holds_nobody_up(
    make_shop: MakeShop, database: Database
) -> None:
    waits = Event()

    def handler(signed: Signed, tx: Any) -> Any:
        if b'"version": 2' in signed.body:
            waits.set()
            database.await_waiting()
            [(connection,)] = tx.execute("SELECT CONNECTION_ID()").fetchall()
            database.query(f"KILL {connection}")
        return write_order(signed, tx)

    shop = make_shop(handler=handler, guard=ORDERED)
    with ThreadPoolExecutor(2) as pool:
        newer = pool.submit(send, shop, 2)
        until(waits, newer)
        older = pool.submit(send, shop, 1)
    assert (newer.result().status_code, older.result().status_code) == (503, 201)
    assert database.orders == ["v1"]
    assert database.query("SELECT number FROM tocsin_sequences") == [(1,)]


def test_how_many_rows_a_statement_changed_is_told_by_either_meaning_of_that(database: Database) -> None:
    """CLIENT_FOUND_ROWS, which SQLAlchemy sets: found rows count as changed ones."""
    for low, more in ((0, {}), (10, {"client_flag": CLIENT.FOUND_ROWS})):
        with closing(MariaDBStore(partial(database.connect, **more))) as store:
            for name, (number, is_newer) in enumerate(((2, True), (1, False), (2, False), (5, True), (5, False))):
                taken = store.take(claim(f"{low} {name}", number=low + number), 30)
                assert isinstance(taken, Granted)
                assert taken.advance(30) is is_newer
                taken.settle(ANSWER)


def test_a_handler_that_refused_has_applied_nothing_and_leaves_no_stream(
    make_shop: MakeShop, database: Database
) -> None:
    """Though its answer is remembered, and so its claim was taken again, with the row of its stream locked."""
    shop = make_shop(handler=lambda *_: abort(404), guard=ORDERED)
    assert send(shop, 2).status_code == 404
    assert send(shop, 2).headers["Idempotent-Replayed"] == "true"
    assert administration(database.url()).streams(10) == (0, [])
    shop.handler = write_order
    assert send(shop, 1).status_code == 201
    [stream] = administration(database.url()).streams(10)[1]
    assert (stream.number, stream.operation) == (1, "/order")


def test_a_stream_that_somebody_else_has_for_too_long_is_unavailable_and_nothing_is_written(
    database: Database,
) -> None:
    with closing(MariaDBStore(database.url())) as one, closing(MariaDBStore(database.url())) as other:
        held = one.take(claim("newer", number=2), 30)
        assert isinstance(held, Granted)
        assert held.advance(30)
        with pytest.raises(StoreUnavailable):
            other.take(claim("older", number=1), 0.2)
        held.settle(ANSWER)
        assert database.claims == 1


def test_a_database_without_streams_serves_operations_without_an_order_and_says_what_the_others_want(
    make_shop: MakeShop, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.run("DROP TABLE tocsin_sequences")
    assert make_shop().order().status_code == 201
    ordered = make_shop(guard=ORDERED)
    assert send(ordered, 1).status_code == 503
    assert "wanted: run migrate() once" in caplog.text
    assert isinstance(ordered.store, MariaDBStore)
    ordered.store.migrate()
    assert send(ordered, 1).status_code == 201
