"""What a store on MariaDB finds, refuses and says before it runs anything; and the pure parts of it."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymysql
import pytest

from lab._mariadb import MariaDB
from tests.guard.mariadb.server import Database, empty_on
from tests.guard.mariadb.test_commit import kill_the_others
from tests.guard.mariadb.test_innodb import granted, saying, settled
from tocsin.guard import GuardError, TransactionMisuse
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard.stores.mariadb import MariaDBStore, _settings
from tocsin.guard.stores.mariadb._control import control_in, is_one
from tocsin.guard.stores.mariadb._errnos import Trouble, trouble_of
from tocsin.guard.stores.mariadb._options import arguments
from tocsin.guard.stores.mariadb._values import number, octets, seconds
from tocsin.guard.testing import ANSWER, claim

MakeStore = Callable[..., MariaDBStore]


@pytest.fixture
def empty(server: MariaDB) -> Iterator[Database]:
    with empty_on(server) as made:
        yield made


def test_any_number_of_processes_may_migrate_at_once_and_again(empty: Database) -> None:
    stores = [MariaDBStore(empty.url()) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(MariaDBStore.migrate, stores):
            pass
    stores[0].migrate()
    tables = empty.query("SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
    assert sorted(tables) == [(name, "InnoDB") for name in ("tocsin_claims", "tocsin_forgotten", "tocsin_sequences")]
    settled(stores[0])
    for store in stores:
        store.close()


def test_missing_tables_are_said_with_the_remedy(empty: Database) -> None:
    store = MariaDBStore(empty.url())
    with pytest.raises(StoreUnavailable, match="migrate"):
        store.take(claim(), 1.0)
    store.migrate()
    settled(store)
    store.close()


def test_a_table_of_claims_without_transactions_is_refused(empty: Database) -> None:
    """A roll-back would leave the claim there, and the retry would be told that it was applied."""
    empty.query("CREATE TABLE tocsin_claims (`key` binary(32) PRIMARY KEY) ENGINE=MyISAM")
    with pytest.raises(StoreUnavailable, match="tocsin_claims is kept by MyISAM"):
        MariaDBStore(empty.url()).take(claim(), 1.0)


def test_tables_that_no_transaction_covers_are_named_in_the_log(
    database: Database, make_store: MakeStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_settings, "_told", set())
    database.query("CREATE TABLE visits (i int) ENGINE=MyISAM")
    settled(make_store())
    assert "no transaction covers what is written to visits" in caplog.text
    assert "innodb_flush_log_at_trx_commit is not 1" in caplog.text


@pytest.mark.parametrize("version", ["8.0.36", "10.5.23-MariaDB", "5.5.5-10.3.39-MariaDB"])
def test_a_server_that_cannot_bound_a_claim_is_none_that_can_be_used(version: str) -> None:
    assert not _settings._is_known(version)
    assert _settings._is_known("5.5.5-10.11.6-MariaDB-0+deb12u1")
    assert _settings._is_known("11.4.2-MariaDB")


def test_connections_that_are_in_use_are_waited_for_in_the_order_of_arrival(make_store: MakeStore) -> None:
    store = make_store(max_connections=1)
    held = granted(store, "a")
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(StoreUnavailable, match="all 1 connections"):
            pool.submit(store.take, claim("b"), 0.01).result()
        held.settle(ANSWER)
        pool.submit(settled, store, "b").result()


def test_a_connection_that_was_lost_while_nobody_used_it_is_replaced(make_store: MakeStore, database: Database) -> None:
    store = make_store()
    settled(store, "a")
    kill_the_others(database)
    settled(store, "b")
    assert database.claims == 2


def test_a_forked_child_has_connections_of_its_own(make_store: MakeStore, database: Database) -> None:
    store = make_store()
    settled(store, "parent")
    held = granted(store, "held")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            settled(store, "child")
            with pytest.raises(TransactionMisuse, match="forked"):
                held.tx.execute("SELECT 1")
            with pytest.raises(StoreUnavailable, match="parent's"):
                held.settle(ANSWER)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    held.settle(ANSWER)
    assert database.claims == 3


def test_autocommit_is_switched_off_whatever_the_application_opened(make_store: MakeStore, database: Database) -> None:
    store = make_store(lambda: database.connect(autocommit=True))
    granted(store).abandon()
    assert database.claims == 0
    settled(store)


def test_connections_without_multi_statements_do_as_well(make_store: MakeStore, database: Database) -> None:
    store = make_store(saying(database, "@x = 1"))
    settled(store, kept_ms=1000)
    assert store.sweep(claim().taken_unix_ms + 1000) == 1


def test_a_transaction_is_its_handlers_threads_and_ends_with_it(make_store: MakeStore) -> None:
    held = granted(make_store())
    rows = held.tx.execute("SELECT 1 UNION SELECT 2")
    assert (rows.columns, rows.rowcount, rows.fetchone(), rows.fetchmany(5)) == (("1",), 2, (1,), [(2,)])
    with ThreadPoolExecutor(1) as pool, pytest.raises(TransactionMisuse, match="the thread of its handler"):
        pool.submit(held.tx.execute, "SELECT 1").result()
    held.settle(ANSWER)
    with pytest.raises(TransactionMisuse, match="has ended"):
        held.tx.execute("SELECT 1")
    with pytest.raises(TransactionMisuse, match="rows have ended"):
        rows.fetchone()


def test_many_statements_of_one_text_are_run_with_executemany(make_store: MakeStore, database: Database) -> None:
    held = granted(make_store())
    held.tx.executemany("INSERT INTO orders (order_id) VALUES (%s)", [("1",), ("2",)])
    held.settle(ANSWER)
    assert database.orders == ["1", "2"]


@pytest.mark.parametrize(
    "url",
    ["", "orders", "postgresql://user@host/db", "mariadb://host", "mariadb://host:x/db", "mariadb://host/db?nonsense=1",
     "mariadb://host/a/b", "mariadb://host/db?connect_timeout=soon", "mariadb://host/db#x"],
)  # fmt: skip
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    secret = url.replace("//", "//root:s3cret@", 1)
    with pytest.raises(GuardError) as raised:
        MariaDBStore(secret)
    assert "s3cret" not in str(raised.value)
    assert "wanted" in str(raised.value)


def test_a_url_says_what_the_driver_is_told() -> None:
    told = arguments("mariadb://us%40er:p%2Fw@db:3307/shop?unix_socket=/run/x&ssl_ca=/ca.pem&connect_timeout=5")
    assert told == {
        "host": "db", "port": 3307, "user": "us@er", "password": "p/w", "database": "shop", "charset": "utf8mb4",
        "connect_timeout": 5, "unix_socket": "/run/x", "ssl": {"ca": "/ca.pem"},
    }  # fmt: skip


@pytest.mark.parametrize(("most", "idle_s"), [(0, 30), (1, 0.5)])
def test_options_out_of_range_are_refused(most: int, idle_s: float) -> None:
    with pytest.raises(GuardError, match="wanted"):
        MariaDBStore("mariadb://host/db", max_connections=most, idle_s=idle_s)


def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        MariaDBStore("mariadb://127.0.0.1:1/db").look(claim().key)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT 1", ""),
        ("UPDATE t SET a = 'x; COMMIT' WHERE b = \"it's; ROLLBACK\"", ""),
        ("INSERT INTO `odd;name` VALUES ('\\'; commit')", ""),
        ("SELECT 1 -- ; COMMIT", ""),
        ("SELECT 1 # ; COMMIT", ""),
        ("SELECT 1 /* ; COMMIT */", ""),
        ("SELECT 1 --1; COMMIT", "COMMIT"),
        ("SELECT 1; /*M!100000 COMMIT */", "COMMIT"),
        ("/* hidden */ Start  Transaction read only", "START TRANSACTION"),
        ("ROLLBACK TO SAVEPOINT a", ""),
        ("ROLLBACK WORK TO a", ""),
        ("rollback", "ROLLBACK"),
        ("BEGIN NOT ATOMIC SELECT 1", ""),
        ("CREATE TEMPORARY TABLE x (i int)", ""),
        ("CREATE OR REPLACE TABLE x (i int)", "CREATE OR"),
        ("SET @@session.autocommit = 0", "SET @@SESSION.AUTOCOMMIT"),
        ("SET @x = 1", ""),
        ("FLUSH TABLES", "FLUSH"),
    ],
)
def test_control_is_found_as_the_server_reads_it(sql: str, found: str) -> None:
    assert control_in(sql) == found


@pytest.mark.parametrize(
    ("sql", "is_it"), [("SELECT 1", True), ("SELECT 1;", True), ("SELECT ';'", True), ("SELECT 1; SELECT 2", False)]
)
def test_one_statement_is_told_from_several(sql: str, *, is_it: bool) -> None:
    assert is_one(sql) is is_it


@pytest.mark.parametrize(
    ("errno", "trouble"),
    [(1213, Trouble.CONFLICT), (1020, Trouble.CONFLICT), (1205, Trouble.UNAVAILABLE), (2013, Trouble.UNAVAILABLE),
     (0, Trouble.UNAVAILABLE), (1062, Trouble.STATEMENT), (1146, Trouble.STATEMENT)],
)  # fmt: skip
def test_what_an_error_number_means(errno: int, trouble: Trouble) -> None:
    assert trouble_of(errno) is trouble


def test_no_character_of_a_value_reaches_the_text_of_a_statement() -> None:
    assert octets(b"'; DROP") == "x'273b2044524f50'"
    assert (octets(None), number(None), number(-7), octets(b"")) == ("NULL", "NULL", "-7", "x''")
    assert (seconds(0), seconds(-1), seconds(1.5)) == ("0.100", "0.100", "1.500")


def test_a_lost_connection_in_a_handler_is_the_stores_own_failure(make_store: MakeStore) -> None:
    store = make_store()
    assert store.is_own_failure(pymysql.OperationalError(2013, "Lost connection"))
    assert store.is_own_failure(pymysql.InterfaceError(0, ""))
    assert not store.is_own_failure(pymysql.IntegrityError(1062, "Duplicate entry"))
    assert not store.is_own_failure(pymysql.ProgrammingError("Cursor closed"))
    assert not store.is_own_failure(ValueError("x"))
    value: Any = store.declares
    assert value.atomic
