"""What a handler can do with its transaction, and for how long."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from tests.guard.postgres.cluster import Database
from tests.guard.postgres.conftest import MakeShop
from tests.guard.postgres.shop import PostgresShop
from tocsin.guard import Signed, TransactionMisuse
from tocsin.guard.stores.postgres import PostgresStore, Rows, Transaction


def run(shop: PostgresShop, handler: Callable[[Transaction], Any]) -> None:
    """Run a handler that is expected to go well."""

    def handle(signed: Signed, tx: Transaction) -> Any:
        handler(tx)
        return signed.json()

    shop.handler = handle
    shop.app.testing = True
    assert shop.order().status_code == 200


def test_rows_are_read_in_every_way(shop: PostgresShop) -> None:
    def handler(tx: Transaction) -> None:
        rows = tx.execute("SELECT n, n * 2 AS double FROM generate_series(1, %s) n", (6,))
        assert (rows.rowcount, rows.columns) == (6, ("n", "double"))
        assert (rows.fetchone(), rows.fetchmany(2)) == ((1, 2), [(2, 4), (3, 6)])
        assert next(iter(rows)) == (4, 8)
        assert rows.fetchall() == [(5, 10), (6, 12)]
        written = tx.executemany("INSERT INTO orders (order_id) VALUES (%s)", [("a",), ("b",)])
        assert (written.rowcount, written.columns) == (2, ())
        assert tx.execute("SELECT count(*) FROM orders WHERE order_id = %(id)s", {"id": "a"}).fetchone() == (1,)

    run(shop, handler)


def test_without_parameters_a_per_cent_sign_means_itself(shop: PostgresShop) -> None:
    def handler(tx: Transaction) -> None:
        assert tx.execute("SELECT 'a' LIKE '%'").fetchone() == (True,)
        table = SQL("SELECT count(*) FROM {}").format(Identifier("orders"))
        assert tx.execute(table).fetchone() == (0,)

    run(shop, handler)


def test_a_connection_of_the_applications_own_making_keeps_its_row_factory(
    make_shop: MakeShop, database: Database
) -> None:
    store = PostgresStore(lambda: psycopg.connect(database.conninfo(), row_factory=dict_row))
    found: list[Any] = []
    run(make_shop(store=store), lambda tx: found.append(tx.execute("SELECT 1 AS one").fetchone()))
    assert found == [{"one": 1}]


def test_a_statement_runs_often_without_being_compiled_again(shop: PostgresShop) -> None:
    run(shop, lambda tx: [tx.execute("SELECT %s::int", (number,)).fetchone() for number in range(10)])


def test_a_transaction_and_its_rows_end_with_the_handler(shop: PostgresShop) -> None:
    kept: list[Any] = []
    run(shop, lambda tx: kept.extend([tx, tx.execute("SELECT 1")]))
    tx, rows = kept
    assert isinstance(rows, Rows)
    with pytest.raises(TransactionMisuse, match="has ended with its handler"):
        tx.execute("SELECT 1")
    with pytest.raises(psycopg.InterfaceError, match="closed"):
        rows.fetchone()


def test_a_transaction_belongs_to_the_thread_of_its_handler(shop: PostgresShop) -> None:
    def handler(tx: Transaction) -> None:
        errors: list[TransactionMisuse] = []

        def use() -> None:
            with pytest.raises(TransactionMisuse, match="belongs to the thread") as caught:
                tx.execute("SELECT 1")
            errors.append(caught.value)

        thread = Thread(target=use)
        thread.start()
        thread.join()
        assert errors

    run(shop, handler)


def test_a_savepoint_that_loses_its_connection_says_what_happened(shop: PostgresShop) -> None:
    def loses(tx: Transaction) -> None:
        with tx.savepoint():
            shop.database.query(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            tx.execute("SELECT 1")

    def handler(_: Signed, tx: Transaction) -> Any:
        with pytest.raises(psycopg.OperationalError):
            loses(tx)
        return "done"

    shop.handler = handler
    assert shop.order().status_code == 503
