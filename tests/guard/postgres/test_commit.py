"""COMMIT: believed only by its tag, and when the connection is lost, found out by taking the claim again."""

import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Any

import psycopg
import pytest

from tests.guard.postgres.cluster import WAITING, Cluster, Database
from tests.guard.postgres.conftest import MakeShop
from tests.guard.postgres.relay import Cut, Relay
from tests.guard.postgres.shop import PostgresShop
from tests.guard.server_shop import nothing_is_kept, write_order
from tocsin.guard import Signed, TransactionMisuse
from tocsin.guard.stores.postgres import Transaction

KILL_THE_OTHERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def is_waiting(connection: psycopg.Connection[Any]) -> bool:
    return bool(connection.execute(WAITING, (1,)).fetchall()[0][0])


def forked(task: Callable[[], object]) -> int:
    """Run a task in a forked child; its process id."""
    child = os.fork()
    if child == 0:
        try:
            task()
        finally:
            os._exit(1)
    return child


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_commit_counts_only_by_its_tag(shop: PostgresShop, caplog: pytest.LogCaptureFixture) -> None:
    """The handler swallowed an SQL error: COMMIT would raise nothing, say ROLLBACK, and the order would be lost."""

    def swallows(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        with suppress(psycopg.Error):
            tx.execute("SELECT 1 / 0")
        return rendered

    shop.handler = swallows
    assert shop.order().status_code == 500
    assert "outside of any tx.savepoint()" in caplog.text
    nothing_is_kept(shop)


def test_a_savepoint_is_the_way_to_catch_an_sql_error(shop: PostgresShop) -> None:
    def catches(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        with suppress(psycopg.Error), tx.savepoint():
            tx.execute("INSERT INTO orders (order_id) VALUES ('undone')")
            tx.execute("SELECT 1 / 0")
        with tx.savepoint():
            tx.execute("INSERT INTO orders (order_id) VALUES ('kept')")
        return rendered

    shop.handler = catches
    assert shop.order().status_code == 201
    assert shop.database.orders == ["17", "kept"]


@pytest.mark.parametrize(
    "sql", ["COMMIT", "ROLLBACK", "/**/ end", "SELECT 1; COMMIT", "BEGIN", "PREPARE TRANSACTION 'x'"]
)
def test_a_handler_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned(
    sql: str, shop: PostgresShop
) -> None:
    def tries(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        with pytest.raises(TransactionMisuse, match="is refused while a handler runs"):
            tx.execute(sql)
        return rendered

    shop.handler = tries
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


@pytest.mark.parametrize(
    ("control", "claims"), [(["COMMIT"], 1), (["COMMIT", "BEGIN"], 1), (["ROLLBACK"], 0), (["ROLLBACK AND CHAIN"], 0)]
)
def test_a_transaction_that_was_ended_behind_the_facade_is_500_and_never_remembered(
    control: list[str], claims: int, shop: PostgresShop
) -> None:
    """A committed claim without an answer: applied, answer unknown, and it never runs again by itself."""

    def ends(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        for statement in control:
            tx._cursor(tx._live(get_ident())).execute(statement.encode())
        return rendered

    shop.handler = ends
    assert shop.order().status_code == 500
    assert shop.database.claims == claims
    if claims:
        assert shop.order().status_code == 500
        assert shop.runs == 1
    else:
        nothing_is_kept(shop)


def test_a_deferred_constraint_that_fails_at_commit_is_500_and_nothing_is_kept(shop: PostgresShop) -> None:
    shop.database.query("ALTER TABLE orders ADD UNIQUE (order_id) DEFERRABLE INITIALLY DEFERRED")

    def twice(signed: Signed, tx: Transaction) -> Any:
        write_order(signed, tx)
        return write_order(signed, tx)

    shop.handler = twice
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


def test_a_handler_that_deletes_its_claim_is_500_and_nothing_is_kept(shop: PostgresShop) -> None:
    def forgets(signed: Signed, tx: Transaction) -> Any:
        tx.execute("DELETE FROM tocsin_claims")
        return write_order(signed, tx)

    shop.handler = forgets
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


@pytest.mark.parametrize(
    ("sqlstate", "status"), [("53100", 503), ("57014", 503), ("58030", 503), ("P0001", 500), ("23514", 500)]
)
def test_a_store_that_is_full_at_commit_is_503_and_a_trigger_that_refuses_is_500(
    sqlstate: str, status: int, shop: PostgresShop
) -> None:
    """A deferred trigger stands in for the disk: the error comes from the server, in answer to COMMIT."""
    shop.database.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$"
    )
    shop.database.query(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    assert shop.order().status_code == status
    shop.database.query("DROP TRIGGER refuse ON orders")
    nothing_is_kept(shop)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_connection_that_is_lost_at_commit_is_found_out_by_taking_the_claim_again(
    cut: Cut, relayed: MakeShop, relay: Relay
) -> None:
    """Not committed: the handler runs again. Committed: the stored answer is sent. One order either way."""
    shop = relayed()
    relay.cut = cut
    answer = shop.order()
    assert answer.status_code == 201
    assert shop.runs == (2 if cut is Cut.BEFORE else 1)
    assert shop.database.orders == ["17"]
    assert shop.order().data == answer.data


def test_a_lost_commit_that_lands_late_is_waited_for(relayed: MakeShop, relay: Relay, database: Database) -> None:
    """A plain SELECT would run before it lands, see nothing, and the service would say that nothing was applied."""
    shop = relayed(guard={"wait_s": 30})
    relay.cut = Cut.HOLD
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shop.order)
        # Whoever finds out by taking the claim waits; whoever does not has ended, and fails below.
        database.until(lambda connection: running.done() or is_waiting(connection))
        relay.let_go()
        answer = running.result()
    assert answer.status_code == 201
    assert (shop.runs, database.orders) == (1, ["17"])
    assert answer.headers["Idempotent-Replayed"] == "true"


def test_a_lost_commit_that_cannot_be_told_in_time_is_503(relayed: MakeShop, relay: Relay, database: Database) -> None:
    """And when it has landed, a retry gets the stored answer."""
    shop = relayed(guard={"wait_s": 0.05})
    relay.cut = Cut.HOLD
    answer = shop.order()
    assert (answer.status_code, answer.headers["Retry-After"], shop.runs) == (503, "1", 1)
    relay.let_go()
    database.until(lambda connection: connection.execute("SELECT count(*) = 1 FROM orders").fetchall()[0][0])
    assert (shop.order().status_code, shop.runs, database.orders) == (201, 1, ["17"])


def test_a_backend_that_is_terminated_at_the_commit_boundary_commits_once(
    relayed: MakeShop, relay: Relay, database: Database
) -> None:
    shop = relayed()
    relay.before_commit = partial(database.query, KILL_THE_OTHERS)
    assert shop.order().status_code == 201
    assert (shop.runs, database.orders) == (2, ["17"])


def test_commits_that_are_lost_twice_in_a_row_are_503(relayed: MakeShop, relay: Relay, database: Database) -> None:
    shop = relayed()

    def kill() -> None:
        # First, because the store is connected again before the query has ended.
        relay.before_commit = kill
        # The second one may find the first one's session still there, which has done its work by then.
        with suppress(psycopg.OperationalError):
            database.query(KILL_THE_OTHERS)

    relay.before_commit = kill
    assert shop.order().status_code == 503
    relay.before_commit = None
    nothing_is_kept(shop)


@pytest.mark.parametrize("swallowed", [(), (psycopg.Error,)], ids=["raised", "swallowed"])
def test_a_backend_that_is_terminated_while_the_handler_runs_is_503(
    swallowed: tuple[type[Exception], ...], shop: PostgresShop
) -> None:
    """Also where the handler does not let on."""

    def loses(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        shop.database.query(KILL_THE_OTHERS)
        with suppress(*swallowed):
            tx.execute("SELECT 1")
        return rendered

    shop.handler = loses
    answer = shop.order()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    nothing_is_kept(shop)


def test_a_handler_that_is_idle_for_longer_than_idle_s_is_rolled_back_by_the_server(
    make_shop: MakeShop, make_store: Callable[..., Any], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Its key and its locks are free from then on."""

    def dawdles(signed: Signed, tx: Transaction) -> Any:
        rendered = write_order(signed, tx)
        database.until(
            lambda connection: connection.execute(
                "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'dawdler'"
            ).fetchall()[0][0]
        )
        return rendered

    store = make_store(database.conninfo(application_name="dawdler"), idle_s=1)
    shop = make_shop(store=store, handler=dawdles)
    assert shop.order().status_code == 503
    assert "idle_s" in caplog.text
    nothing_is_kept(shop)


def test_a_server_that_is_down_is_503_and_back_at_once_when_it_listens_again(caplog: pytest.LogCaptureFixture) -> None:
    """With the connections that the crash has left, and with everything that was answered."""
    with Cluster() as cluster, cluster.database() as database:
        shop = PostgresShop(database)
        first = shop.order("1")
        cluster.stop()
        answer = shop.order("2")
        assert (answer.status_code, answer.headers["Retry-After"], shop.runs) == (503, "1", 1)
        with caplog.at_level(logging.INFO):
            cluster.start()
            assert shop.order("2").status_code == 201
        assert shop.order("1").data == first.data
        assert database.orders == ["1", "2"]
        shop.store.close()


def test_a_client_that_is_killed_during_a_statement_frees_its_key(make_shop: MakeShop, database: Database) -> None:
    """The statement would go on for a minute, and the server does not look at its client by itself."""
    killed = PostgresShop(database, handler=lambda _, tx: tx.execute("SELECT pg_sleep(60)").fetchone())
    child = forked(killed.order)
    database.until(
        lambda connection: connection.execute(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ).fetchall()[0][0]
    )
    kill(child)
    assert make_shop(guard={"wait_s": 20}).order().status_code == 201
