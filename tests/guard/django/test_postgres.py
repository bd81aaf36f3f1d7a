"""The Django store where PostgreSQL has its own ways: COMMIT, lost connections, conflicts, clients that are killed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.guard.adapters.asgi_client import Loop
from tests.guard.django.databases import Order, Project, postgresql, project
from tests.guard.django.shop import DjangoShop, order_id_of, write_order

# isort: split
from django.db import Error, connections, transaction
from django.http import HttpResponse

from tests.guard.postgres.cluster import Bouncer, Cluster, Database, bouncer
from tests.guard.postgres.conftest import make_store, relay
from tests.guard.postgres.relay import Cut, Relay
from tests.guard.postgres.test_commit import KILL_THE_OTHERS, forked, is_waiting, kill
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed
from tocsin.guard.stores.django import DjangoStore, Transaction
from tocsin.guard.stores.django._block import hang_up
from tocsin.guard.stores.postgres import PostgresStore, schema_sql
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.testing import ANSWER, claim

__all__ = ["make_store", "relay"]

MakeShop = Callable[..., DjangoShop]
LAYOUT = """
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_name LIKE 'tocsin\\_%' ORDER BY table_name, ordinal_position
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'tocsin\\_%' ORDER BY indexname"


@pytest.fixture
def vendor() -> str:
    return "postgresql"


@pytest.fixture
def relayed(make_shop: MakeShop, site: Project, relay: Relay) -> DjangoShop:
    """A service that reaches its database through the relay."""
    return make_shop(alias=site.alias(PORT=str(relay.port)))


def test_the_migration_makes_the_tables_of_the_raw_store(site: Project, database: Database, cluster: Cluster) -> None:
    """Type for type, so that services on other frameworks share them."""
    del site
    raw = cluster.create("raw_layout")
    raw.query(schema_sql())
    assert database.query(LAYOUT) == raw.query(LAYOUT) != []
    assert database.query(INDEXES) == raw.query(INDEXES) != []


def test_the_migration_welcomes_tables_that_are_there_and_keeps_what_they_hold(cluster: Cluster) -> None:
    with cluster.database() as database, project(postgresql(database)) as site:
        with_a_claim = PostgresStore(database.conninfo())
        with_a_claim.take(claim(), 1).settle(ANSWER)  # type: ignore[union-attr]
        with_a_claim.close()
        store = DjangoStore(site.migrated())
        found = store.look(claim().key)
        assert found is not None
        assert found.body == ANSWER.body


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_connection_that_is_lost_at_commit_is_found_out_by_taking_the_claim_again(
    cut: Cut, relayed: DjangoShop, relay: Relay
) -> None:
    """Not committed: the handler runs again. Committed: the stored answer is sent. One order either way."""
    relay.cut = cut
    answer = relayed.order()
    assert answer.status == 201
    assert relayed.runs == (2 if cut is Cut.BEFORE else 1)
    assert relayed.site.orders == ["17"]
    assert relayed.order().body == answer.body


def test_a_lost_commit_that_lands_late_is_waited_for(relayed: DjangoShop, relay: Relay, database: Database) -> None:
    """A plain SELECT would run before it lands, see nothing, and the service would say that nothing was applied."""
    relay.cut = Cut.HOLD
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(relayed.order)
        database.until(lambda connection: running.done() or is_waiting(connection))
        relay.let_go()
        answer = running.result()
    assert (answer.status, answer.is_replay, relayed.runs, relayed.site.orders) == (201, True, 1, ["17"])


@pytest.mark.parametrize("swallowed", [(), (Error,)], ids=["raised", "swallowed"])
def test_a_backend_that_is_terminated_while_the_handler_runs_is_503(
    swallowed: tuple[type[Exception], ...], shop: DjangoShop, database: Database
) -> None:
    """Also where the handler does not let on."""

    def loses(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        database.query(KILL_THE_OTHERS)
        with suppress(*swallowed):
            tx.execute("SELECT 1")
        return answer

    shop.handler = loses
    answer = shop.order()
    assert (answer.status, answer.field("Retry-After")) == (503, ["1"])
    assert (shop.site.orders, shop.site.claims) == ([], 0)
    shop.handler = write_order
    assert (shop.order().status, shop.site.orders) == (201, ["17"])


def test_a_handler_that_is_idle_for_too_long_is_rolled_back_by_the_server_and_not_run_again(
    make_shop: MakeShop, site: Project, database: Database
) -> None:
    def dawdles(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        database.until(
            lambda connection: connection.execute(
                "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'dawdler'"
            ).fetchall()[0][0]
        )
        return answer

    options = {"application_name": "dawdler", "options": "-c idle_in_transaction_session_timeout=500"}
    shop = make_shop(handler=dawdles, alias=site.alias(OPTIONS=options))
    assert (shop.order().status, shop.runs) == (503, 1)
    assert (site.orders, site.claims) == ([], 0)


def test_a_kept_connection_that_the_server_has_closed_is_replaced(make_shop: MakeShop, site: Project) -> None:
    """CONN_MAX_AGE keeps it, and nothing but its first use shows that it is gone."""
    shop = make_shop(alias=site.alias(CONN_MAX_AGE=None))
    assert shop.order("1").status == 201
    site.query(KILL_THE_OTHERS)
    assert (shop.order("2").status, site.orders) == (201, ["1", "2"])


def test_a_server_that_is_not_there_is_503(make_shop: MakeShop, site: Project) -> None:
    shop = make_shop(alias=site.alias(PORT="1"))
    answer = shop.order()
    assert (answer.status, answer.field("Retry-After"), shop.runs) == (503, ["1"], 0)


@pytest.mark.parametrize("swallowed", [(), (Error,)], ids=["raised", "swallowed"])
@pytest.mark.parametrize("level", [3, 4], ids=["repeatable read", "serializable"])
def test_a_serialization_failure_runs_the_handler_again(
    level: int, swallowed: tuple[type[Exception], ...], make_shop: MakeShop, site: Project
) -> None:
    """Whatever the handler makes of the error: its transaction has gone."""
    Order.objects.using(site.alias()).create(order_id="stock")

    def takes(signed: Signed, tx: Transaction) -> HttpResponse:
        tx.execute("SELECT count(*) FROM orders").fetchall()
        if shop.runs == 1:
            site.query("UPDATE orders SET order_id = order_id || '!'")
        with suppress(*swallowed):
            Order.objects.using(tx.alias).filter(order_id__startswith="stock").update(order_id="taken")
        return write_order(signed, tx) if shop.runs > 1 or not swallowed else HttpResponse("sorry", status=409)

    shop = make_shop(handler=takes, alias=site.alias(OPTIONS={"isolation_level": level}))
    assert shop.order().status == 201
    assert (shop.runs, sorted(site.orders)) == (2, ["17", "taken"])


def test_a_conflict_that_was_caught_around_a_block_of_its_own_is_made_up_for(
    make_shop: MakeShop, site: Project
) -> None:
    Order.objects.using(site.alias()).create(order_id="stock")

    def takes(signed: Signed, tx: Transaction) -> HttpResponse:
        tx.execute("SELECT count(*) FROM orders").fetchall()
        site.query("UPDATE orders SET order_id = order_id || '!'")
        with suppress(Error), transaction.atomic(using=tx.alias):
            Order.objects.using(tx.alias).filter(order_id__startswith="stock").update(order_id="taken")
        return write_order(signed, tx)

    shop = make_shop(handler=takes, alias=site.alias(OPTIONS={"isolation_level": 3}))
    assert (shop.order().status, shop.runs, sorted(site.orders)) == (201, 1, ["17", "stock!"])


def test_a_deferred_constraint_that_fails_at_commit_is_500_and_nothing_is_kept(shop: DjangoShop) -> None:
    shop.site.query("ALTER TABLE orders ADD UNIQUE (order_id) DEFERRABLE INITIALLY DEFERRED")
    shop.handler = lambda signed, tx: (write_order(signed, tx), write_order(signed, tx))[1]
    assert shop.order().status == 500
    assert (shop.site.orders, shop.site.claims) == ([], 0)


def test_lock_timeout_is_the_applications_own_while_the_handler_runs(make_shop: MakeShop, site: Project) -> None:
    seen: list[Any] = []

    def notes(signed: Signed, tx: Transaction) -> HttpResponse:
        seen.append(tx.execute("SHOW lock_timeout").fetchone()[0])
        return write_order(signed, tx)

    options = {"options": "-c lock_timeout=1234"}
    assert make_shop(handler=notes, alias=site.alias(OPTIONS=options)).order().status == 201
    assert seen == ["1234ms"]


def test_settings_of_the_guard_end_with_its_transaction(shop: DjangoShop) -> None:
    """What else the application does on the connection is none of its business."""
    ask = "SHOW client_connection_check_interval"
    seen: list[Any] = []

    def notes(signed: Signed, tx: Transaction) -> HttpResponse:
        seen.append(tx.execute(ask).fetchone()[0])
        return write_order(signed, tx)

    shop.handler = notes
    shop.order()
    with connections[shop.alias].cursor() as cursor:
        cursor.execute(ask)
        assert [*seen, cursor.fetchone()[0]] == ["50ms", "0"]


def test_a_client_that_is_killed_during_a_statement_frees_its_key(
    make_shop: MakeShop, site: Project, database: Database, loop: Loop
) -> None:
    killed = DjangoShop(site, loop, handler=lambda _, tx: tx.execute("SELECT pg_sleep(60)").fetchone())
    child = forked(killed.order)
    database.until(
        lambda connection: connection.execute(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        ).fetchall()[0][0]
    )
    kill(child)
    assert make_shop(guard={"wait_s": 20}).order().status == 201


def test_commit_counts_only_by_its_tag(shop: DjangoShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody noticed: COMMIT would raise nothing, say ROLLBACK, and the order would be lost."""
    database = type(shop.store._database)
    settle = database.settle

    def aborts(self: Any, raw: Any, *arguments: Any) -> bool:
        stands = settle(self, raw, *arguments)
        with suppress(Exception):
            raw.execute("SELECT 1 / 0")
        return stands

    monkeypatch.setattr(database, "settle", aborts)
    assert shop.order().status == 500
    assert (shop.site.orders, shop.site.claims) == ([], 0)


def test_a_nested_duplicate_gets_what_another_process_committed_meanwhile(make_shop: MakeShop, site: Project) -> None:
    """Where the outer transaction sees an older state too."""

    def orders(signed: Signed, tx: Transaction) -> HttpResponse:
        answer = write_order(signed, tx)
        assert elsewhere.order("bill").status == 201
        assert inner.order("bill").is_replay
        return answer

    shop = make_shop(handler=orders, alias=site.alias(OPTIONS={"isolation_level": 3}))
    inner, elsewhere = make_shop(), make_shop()

    def bill(_request: Any, signed: Signed, _tx: Transaction) -> HttpResponse:
        return HttpResponse(order_id_of(signed), status=201)

    inner.serve(bill, name="bill", store=shop.store)
    elsewhere.serve(bill, name="bill")
    assert (shop.order().status, site.orders, site.claims) == (201, ["17"], 2)


def test_a_sqlite_file_has_the_tables_of_the_raw_store(tmp_path: Any) -> None:
    from tests.guard.django.databases import sqlite  # noqa: PLC0415

    def layout(path: Any) -> list[Any]:
        import sqlite3  # noqa: PLC0415
        from contextlib import closing  # noqa: PLC0415

        with closing(sqlite3.connect(path)) as db:
            columns = db.execute(
                'SELECT m.name, c.cid, c.name, c.type, c."notnull", c.pk FROM sqlite_master AS m, '
                "pragma_table_info(m.name) AS c WHERE m.name LIKE 'tocsin%' AND m.type = 'table' ORDER BY 1, 2"
            ).fetchall()
            indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE name LIKE 'tocsin%due'").fetchall()
            return [*columns, *[(name, " ".join(sql.split())) for name, sql in indexes]]

    SQLiteStore(tmp_path / "raw.db").close()
    with project(sqlite(tmp_path / "django.db")) as site:
        site.migrated()
        assert layout(tmp_path / "django.db") == layout(tmp_path / "raw.db") != []


def test_hanging_up_leaves_a_connection_that_opens_again(site: Project) -> None:
    connection = connections[site.alias()]
    transaction.atomic(using=connection.alias).__enter__()
    hang_up(connection)
    assert Order.objects.using(connection.alias).count() == 0


@pytest.mark.skipif(bouncer() is None, reason="needs PgBouncer: apt-get install pgbouncer")
def test_64_different_requests_go_through_the_two_connections_of_a_pooler(
    make_shop: MakeShop, site: Project, database: Database
) -> None:
    """In transaction mode every transaction may be on another session: nothing is prepared, set or locked for one."""
    with Bouncer(database) as pooler:
        shop = make_shop(alias=site.alias(PORT=str(pooler.port)), guard={"wait_s": 60})
        names = iter(range(64))
        answers = together(64, lambda: shop.order(str(next(names))))
        assert [answer.status for answer in answers] == [201] * 64
        assert shop.order("7").is_replay
        site.hang_up(shop.alias)
    assert sorted(map(int, site.orders)) == list(range(64))
