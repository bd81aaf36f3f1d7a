"""Statements that the server knows by name: a matter of speed, which nothing may depend on."""

import logging
from typing import Any

import pytest

from tests.guard.postgres.cluster import Database
from tests.guard.postgres.conftest import MakeShop
from tests.guard.postgres.relay import Relay
from tests.guard.postgres.shop import PostgresShop
from tests.guard.server_shop import write_order
from tocsin.guard import Signed
from tocsin.guard.stores.postgres import Transaction, _claims


def test_a_connection_prepares_once(shop: PostgresShop) -> None:
    def names(_: Signed, tx: Transaction) -> Any:
        rows = tx.execute("SELECT name, prepare_time FROM pg_prepared_statements WHERE name LIKE 'tocsin%'").fetchall()
        return sorted(map(str, rows))

    shop.handler = names
    answers = [shop.order(name).get_json() for name in "ab"]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 6


def test_whoever_watches_the_server_reads_no_answer(shop: PostgresShop) -> None:
    """Neither while it is stored nor while it is replayed."""
    shop.handler = lambda *_: "an answer of somebody's"
    watched = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(2):
        assert shop.order().data == b"an answer of somebody's"
        [(last,)] = shop.database.query(watched)
        assert last
        assert b"somebody".hex() not in last


def test_a_handler_that_lets_go_of_what_was_prepared_runs_again_without_it(shop: PostgresShop) -> None:
    """The claim cannot be settled by its name any more, so nothing of the first run is kept."""

    def lets_go(signed: Signed, tx: Transaction) -> Any:
        tx.execute("DEALLOCATE ALL")
        return write_order(signed, tx)

    shop.handler = lets_go
    assert shop.order("1").status_code == 201
    assert shop.runs == 2
    assert [shop.order(name).status_code for name in ("1", "2")] == [201, 201]
    assert (shop.runs, shop.database.orders) == (3, ["1", "2"])


def test_a_pooler_that_does_not_show_is_found_out_at_the_claim(shop: PostgresShop, database: Database) -> None:
    """Another of its connections to the server knows none of the names; the handler runs once all the same."""
    shop.order("1")
    [session] = shop.store._connections.stack.idle
    session.connection.pgconn.exec_(b"DEALLOCATE ALL")
    assert shop.order("2").status_code == 201
    assert shop.order("1").headers["Idempotent-Replayed"] == "true"
    assert (shop.runs, database.orders, session.is_prepared, session.may_prepare) == (2, ["1", "2"], False, False)


def test_names_that_somebody_else_has_taken_are_done_without(shop: PostgresShop) -> None:
    session = shop.store._connections.take(1)
    session.connection.pgconn.exec_(b"PREPARE " + _claims.FORGOTTEN.name + b" AS SELECT 1")
    shop.store._connections.stack.give_back(session)
    assert [shop.order().status_code for _ in range(2)] == [201, 201]
    assert (session.is_prepared, session.may_prepare, shop.runs) == (False, False, 1)


def test_tables_that_are_made_later_are_prepared_for_later(
    make_shop: MakeShop, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.query("DROP TABLE tocsin_claims, tocsin_forgotten")
    shop = make_shop()
    with caplog.at_level(logging.ERROR):
        assert shop.order().status_code == 503
    shop.store.migrate()
    assert shop.order().status_code == 201
    assert shop.store._connections.stack.idle[0].is_prepared


def test_a_connection_that_the_server_closed_while_nobody_used_it_is_replaced(
    shop: PostgresShop, database: Database
) -> None:
    """All of them; no request is answered 503 for it, and none waits for more than it takes."""
    sessions = [shop.store._connections.take(1) for _ in range(4)]
    for session in sessions:
        shop.store._connections.stack.give_back(session)
    database.query(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert shop.order().status_code == 201
    assert shop.runs == 1


def test_a_new_connection_that_is_lost_before_the_claim_is_written_is_replaced_once(
    relayed: MakeShop, relay: Relay
) -> None:
    """At whichever of its messages: nothing has been written, so another one will do."""
    shop = relayed()
    shop.order("0")
    before_the_handler = relay.asked - 2
    assert before_the_handler >= 3
    for trip in range(before_the_handler):
        shop.store.close()
        relay.doomed, relay.accepted = [trip], 0
        assert shop.order(f"{trip + 1}").status_code == 201
        assert (shop.runs, relay.accepted) == (trip + 2, 2)


def test_a_second_new_connection_that_is_lost_at_once_is_503(
    relayed: MakeShop, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    shop = relayed()
    relay.doomed = [0, 0]
    with caplog.at_level(logging.CRITICAL):
        assert shop.order("1").status_code == 503
    assert (shop.runs, relay.accepted) == (0, 2)
    assert shop.order("1").status_code == 201
