"""COMMIT on MariaDB: when the connection is lost at it, found out by taking the claim again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pymysql
import pytest

from lab._mariadb import CARELESS, MariaDB, missing
from tests.guard.mariadb.conftest import MakeShop
from tests.guard.mariadb.relay import Cut, Relay
from tests.guard.mariadb.server import WAITING, Database, database_on, is_there
from tests.guard.mariadb.shop import MariaDBShop
from tests.guard.mariadb.test_innodb import LONG_S, granted
from tests.guard.postgres.test_commit import forked, kill
from tests.guard.server_shop import nothing_is_kept, write_order
from tocsin.guard import GuardError, Signed
from tocsin.guard.stores import Record
from tocsin.guard.stores.mariadb import MariaDBStore
from tocsin.guard.testing import ANSWER, claim


def kill_the_others(database: Database) -> None:
    """Whoever is connected to the database, and wait until the server has rolled back for them."""
    others = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
    for (number,) in database.query(others):
        if is_there(database, number):
            database.query(f"KILL {number}")
            database.until(partial(_is_gone, number))


def _is_gone(number: int, ask: Callable[..., Any]) -> bool:
    return not ask("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", number)


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
    # Longer than the order below can take on any machine: what is waited for is the other one, and never the clock.
    shop = relayed(guard={"wait_s": 120})
    relay.cut = Cut.HOLD
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shop.order)
        # Whoever finds out by taking the claim waits; whoever does not has ended, and fails below.
        database.until(lambda ask: running.done() or bool(ask(WAITING, 1)[0][0]))
        relay.let_go()
        answer = running.result()
    assert answer.status_code == 201, answer.text
    assert (shop.runs, database.orders) == (1, ["17"])
    assert answer.headers["Idempotent-Replayed"] == "true"


def test_a_lost_commit_that_cannot_be_told_in_time_is_503(relayed: MakeShop, relay: Relay, database: Database) -> None:
    """And when it has landed, a retry gets the stored answer."""
    shop = relayed(guard={"wait_s": 0.05})
    relay.cut = Cut.HOLD
    answer = shop.order()
    assert (answer.status_code, answer.headers["Retry-After"], shop.runs) == (503, "1", 1)
    relay.let_go()
    database.until(lambda ask: bool(ask("SELECT COUNT(*) = 1 FROM orders")[0][0]))
    assert (shop.order().status_code, shop.runs, database.orders) == (201, 1, ["17"])


def test_a_connection_that_is_killed_at_the_commit_boundary_commits_once(
    relayed: MakeShop, relay: Relay, database: Database
) -> None:
    shop = relayed()
    relay.before_commit = partial(kill_the_others, database)
    assert shop.order().status_code == 201
    assert (shop.runs, database.orders) == (2, ["17"])


@pytest.mark.parametrize("swallowed", [(), (pymysql.Error,)], ids=["raised", "swallowed"])
def test_a_connection_that_is_killed_while_the_handler_runs_is_503(
    swallowed: tuple[type[Exception], ...], shop: MariaDBShop
) -> None:
    """Also where the handler does not let on."""

    def loses(signed: Signed, tx: Any) -> Any:
        rendered = write_order(signed, tx)
        kill_the_others(shop.database)
        with suppress(*swallowed):
            tx.execute("SELECT 1")
        return rendered

    shop.handler = loses
    answer = shop.order()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    nothing_is_kept(shop)


def test_a_handler_that_is_idle_for_longer_than_idle_s_is_rolled_back_by_the_server(
    make_shop: MakeShop, make_store: Callable[..., MariaDBStore], database: Database
) -> None:
    """Its key and its locks are free from then on; the guard takes it for a COMMIT that was lost, and runs it again."""

    def dawdles(signed: Signed, tx: Any) -> Any:
        rendered = write_order(signed, tx)
        number = tx.execute("SELECT CONNECTION_ID()").fetchone()[0]
        database.until(lambda ask: not ask("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", number))
        return rendered

    shop = make_shop(store=make_store(idle_s=1), handler=dawdles)
    assert shop.order().status_code == 503
    nothing_is_kept(shop)


def test_a_server_that_is_down_is_503_and_back_at_once_when_it_listens_again() -> None:
    """With the connections that the crash has left, and with everything that was answered."""
    if missing():
        pytest.skip(missing())
    with MariaDB(*CARELESS[1:]) as server, database_on(server) as database:
        shop = MariaDBShop(database)
        first = shop.order("1")
        server.stop()
        answer = shop.order("2")
        assert (answer.status_code, answer.headers["Retry-After"], shop.runs) == (503, "1", 1)
        server.start()
        assert shop.order("2").status_code == 201
        assert shop.order("1").data == first.data
        assert database.orders == ["1", "2"]
        shop.store.close()


def test_a_process_that_is_killed_in_its_handler_frees_its_key(make_shop: MakeShop, database: Database) -> None:
    """And leaves neither claim nor order."""

    def hangs(signed: Signed, tx: Any) -> Any:
        write_order(signed, tx)
        database.query("CREATE TABLE hangs (i int)")
        database.until(lambda _: False)

    child = forked(MariaDBShop(database, handler=hangs).order)
    database.until(lambda ask: bool(ask("SHOW TABLES LIKE 'hangs'")))
    kill(child)
    assert make_shop(guard={"wait_s": 20}).order().status_code == 201
    assert database.orders == ["17"]


def test_a_handler_that_deletes_its_claim_is_500_and_nothing_is_kept(shop: MariaDBShop) -> None:
    def forgets(signed: Signed, tx: Any) -> Any:
        tx.execute("DELETE FROM tocsin_claims")
        return write_order(signed, tx)

    shop.handler = forgets
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


def test_a_savepoint_undoes_a_part(shop: MariaDBShop) -> None:
    def catches(signed: Signed, tx: Any) -> Any:
        rendered = write_order(signed, tx)
        with suppress(pymysql.Error), tx.savepoint():
            tx.execute("INSERT INTO orders (order_id) VALUES ('undone')")
            tx.execute("SELECT no_such_column FROM orders")
        with tx.savepoint():
            tx.execute("INSERT INTO orders (order_id) VALUES ('kept')")
        return rendered

    shop.handler = catches
    assert shop.order().status_code == 201
    assert shop.database.orders == ["17", "kept"]


@pytest.mark.parametrize("is_kept", [False, True])
def test_nested_operations_are_kept_or_undone_with_the_one_around_them(*, is_kept: bool, database: Database) -> None:
    store = MariaDBStore(database.url())
    outer = granted(store, "outer")
    inner = granted(store, "inner")
    inner.tx.execute("INSERT INTO orders (order_id) VALUES ('inner')")
    inner.settle(ANSWER)
    undone = granted(store, "undone")
    undone.tx.execute("INSERT INTO orders (order_id) VALUES ('undone')")
    undone.abandon()
    # Its own transaction's, which nobody outside can see yet.
    assert isinstance(store.take(claim("inner"), LONG_S), Record)
    with pytest.raises(GuardError, match="its own key"):
        store.take(claim("outer"), LONG_S)
    if is_kept:
        outer.settle(ANSWER)
    else:
        outer.abandon()
    assert (database.claims, database.orders) == ((2, ["inner"]) if is_kept else (0, []))
    store.close()
