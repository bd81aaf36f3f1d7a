"""Tables, settings, and whose connections they are."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from lab._postgres import free_port
from tests.guard.postgres.cluster import Cluster, Database
from tests.guard.postgres.conftest import MakeShop
from tests.guard.postgres.shop import PostgresShop
from tests.guard.server_shop import write_order
from tests.guard.test_flask_concurrency import together
from tocsin.guard import GuardError, Signed, StoreUnavailable, TransactionMisuse
from tocsin.guard.stores import Granted
from tocsin.guard.stores.postgres import PostgresStore, Transaction, _settings, schema_sql
from tocsin.guard.testing import ANSWER, claim

MakeStore = Callable[..., PostgresStore]


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Database]:
    """A database without any table."""
    made = cluster.create("empty")
    yield made
    Database(cluster.port, "postgres").query("DROP DATABASE empty WITH (FORCE)")


@pytest.fixture
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store has to say about a server, it has not said yet."""
    monkeypatch.setattr(_settings, "_told", set())


def test_importing_the_guard_loads_no_driver_and_creating_a_store_connects_nowhere() -> None:
    code = (
        "import sys, tocsin.guard; assert not any('psycopg' in name for name in sys.modules); "
        "from tocsin.guard.stores.postgres import PostgresStore; PostgresStore('host=256.0.0.1')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_processes_may_migrate_at_once(empty: Database, make_store: MakeStore) -> None:
    """Without the advisory lock, CREATE TABLE IF NOT EXISTS fails for some of them."""
    stores = [make_store(empty.conninfo()) for _ in range(16)]
    together(16, lambda: stores.pop().migrate())
    assert empty.value("SELECT count(*) FROM tocsin_claims") == 0


def test_the_printed_schema_is_what_migrate_runs_and_can_be_run_again(empty: Database, make_store: MakeStore) -> None:
    empty.query(schema_sql())
    make_store(empty.conninfo()).migrate()
    assert "CREATE TABLE IF NOT EXISTS tocsin_claims" in schema_sql()


def test_a_column_that_a_later_version_adds_is_nobodys_trouble(shop: PostgresShop) -> None:
    shop.database.query("ALTER TABLE tocsin_claims ADD COLUMN later text NOT NULL DEFAULT ''")
    assert shop.order().data == shop.order().data


def test_missing_tables_are_503_and_the_log_says_what_is_wanted(
    make_shop: MakeShop, make_store: MakeStore, empty: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """No request creates them."""
    store = make_store(empty.conninfo())
    shop = make_shop(store=store)
    assert shop.order().status_code == 503
    assert "wanted: run PostgresStore.migrate() once" in caplog.text
    assert empty.query("SELECT relname FROM pg_class WHERE relname LIKE 'tocsin%'") == []


def test_a_migration_that_is_not_permitted_says_so(database: Database, make_store: MakeStore) -> None:
    database.query("DROP TABLE tocsin_claims")
    store = make_store(database.conninfo(options="-c default_transaction_read_only=on"))
    with pytest.raises(StoreUnavailable, match="read-only"):
        store.migrate()


def settings_of(shop: PostgresShop, *names: str) -> list[str]:
    found: list[str] = []

    def handler(signed: Signed, tx: Transaction) -> Any:
        found.extend(tx.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] for name in names)
        return signed.json()

    shop.handler = handler
    shop.order()
    return found


NAMES = ("idle_in_transaction_session_timeout", "client_connection_check_interval", "tcp_keepalives_idle")


def test_the_server_is_told_to_notice_clients_that_are_gone(shop: PostgresShop) -> None:
    assert settings_of(shop, *NAMES) == ["30s", "50ms", "10"]


@pytest.mark.usefixtures("unsaid")
def test_what_the_operator_has_set_stays_and_is_named_where_it_is_off(
    make_shop: MakeShop, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    options = (
        "-c idle_in_transaction_session_timeout=5s -c client_connection_check_interval=0 -c tcp_keepalives_idle=99"
    )
    shop = make_shop(store=PostgresStore(database.conninfo(options=options)))
    assert settings_of(shop, *NAMES) == ["5s", "0", "99"]
    assert "client_connection_check_interval = 0 by its client: a client that is gone may hold" in caplog.text
    assert "fsync = off" in caplog.text


def test_what_is_answered_is_durable_whatever_the_role_prefers(make_shop: MakeShop, database: Database) -> None:
    shop = make_shop(store=PostgresStore(database.conninfo(options="-c synchronous_commit=off")))
    assert settings_of(shop, "synchronous_commit") == ["on"]


@pytest.mark.usefixtures("unsaid")
def test_what_the_server_does_not_know_or_refuses_is_said_at_start(
    shop: PostgresShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_settings, "_KEEPALIVES", {"tcp_keepalives_idle": "-1", "tcp_keepalives_unheard_of": "1"})
    assert settings_of(shop, "client_connection_check_interval") == ["50ms"]
    assert "tcp_keepalives_idle = -1 is refused" in caplog.text
    assert "this server has no tcp_keepalives_unheard_of" in caplog.text
    assert caplog.text.count("unheard_of") == 1


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"conninfo": "host=x", "max_connections": 0}, "max_connections = 0; wanted 1 or more"),
        ({"conninfo": "host=x", "idle_s": 0.5}, "idle_s = 0.5; wanted 1 second or more"),
        ({"conninfo": "password=hush hush"}, "the connection string cannot be read"),
    ],
)
def test_what_is_wrong_with_a_store_is_said_when_it_is_made(arguments: dict[str, Any], wanted: str) -> None:
    with pytest.raises(GuardError, match=wanted) as caught:
        PostgresStore(**arguments)
    assert "hush" not in str(caught.value)


def test_a_server_that_is_not_there_is_503(make_shop: MakeShop, make_store: MakeStore, database: Database) -> None:
    shop = make_shop(store=make_store(database.conninfo(port=free_port())))
    answer = shop.order()
    assert (answer.status_code, answer.headers["Retry-After"], shop.runs) == (503, "1", 0)


def test_a_server_that_takes_no_more_connections_is_503(
    make_shop: MakeShop, make_store: MakeStore, database: Database
) -> None:
    database.query("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    assert make_shop(store=make_store(database.conninfo(user="crowded"))).order().status_code == 503
    database.query("DROP ROLE crowded")


def test_a_standby_is_503(make_shop: MakeShop, make_store: MakeStore, database: Database) -> None:
    store = make_store(database.conninfo(options="-c default_transaction_read_only=on"))
    assert make_shop(store=store).order().status_code == 503


def test_a_connection_that_cannot_be_made_ready_is_503(make_shop: MakeShop, database: Database) -> None:
    opened: list[psycopg.Connection[Any]] = []

    def connect() -> psycopg.Connection[Any]:
        connection = psycopg.connect(database.conninfo())
        connection.execute("SELECT 1")
        opened.append(connection)
        return connection

    assert make_shop(store=PostgresStore(connect)).order().status_code == 503
    assert opened[0].closed


def test_a_handler_that_meets_a_lock_or_a_full_disk_is_503_and_other_errors_are_its_own(shop: PostgresShop) -> None:
    def raises(sqlstate: str) -> Callable[..., Any]:
        body = f"BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END"
        return lambda _, tx: tx.execute(f"DO $$ {body} $$")

    for sqlstate, status in {"55P03": 503, "53100": 503, "23505": 500}.items():
        shop.handler = raises(sqlstate)
        assert shop.order().status_code == status
    assert shop.database.claims == 0


def test_closed_stores_open_again_and_closed_connections_are_replaced(shop: PostgresShop, database: Database) -> None:
    shop.order("1")
    shop.store.close()
    assert database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tocsin'") == 0
    shop.order("2")
    database.query("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'tocsin'")
    assert shop.order("3").status_code == 201


def in_a_child(task: Callable[[], bool]) -> bool:
    """Whether a task succeeds in a forked child."""
    child = os.fork()
    if child == 0:
        is_good = False
        try:
            is_good = task()
        finally:
            os._exit(0 if is_good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_has_connections_of_its_own(shop: PostgresShop) -> None:
    """And the parent's stay as they were."""
    shop.order("1")
    pid = shop.store._connections.stack.idle[0].connection.info.backend_pid

    def orders() -> bool:
        is_good = shop.order("2").status_code == 201
        own = shop.store._connections.stack.idle[0].connection.info.backend_pid
        shop.store.close()
        return is_good and own != pid

    assert in_a_child(orders)
    assert shop.order("3").status_code == 201
    assert shop.store._connections.stack.idle[0].connection.info.backend_pid == pid
    assert shop.database.orders == ["1", "2", "3"]


def test_a_child_that_is_forked_in_a_handler_cannot_touch_its_transaction(shop: PostgresShop) -> None:
    def forks(signed: Signed, tx: Transaction) -> Any:
        unit = shop.store._current()
        assert unit is not None

        def misuses() -> bool:
            with pytest.raises(TransactionMisuse, match="process that forked this one"):
                tx.execute("SELECT 1")
            with pytest.raises(StoreUnavailable, match="its parent's"):
                unit.settle(ANSWER)
            return shop.order("18").status_code == 201

        shop.handler = write_order
        assert in_a_child(misuses)
        return write_order(signed, tx)

    shop.handler = forks
    assert shop.order().status_code == 201
    assert sorted(shop.database.orders) == ["17", "18"]


def test_an_abandoned_unit_of_the_parent_is_left_alone_by_its_child(make_store: MakeStore, database: Database) -> None:
    store = make_store()
    taken = store.take(claim(), 10)
    assert isinstance(taken, Granted)
    taken.tx.execute("INSERT INTO orders (order_id) VALUES ('17')")

    def abandons() -> bool:
        taken.abandon()
        return True

    assert in_a_child(abandons)
    taken.settle(ANSWER)
    assert database.orders == ["17"]
