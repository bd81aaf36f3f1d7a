"""What a handler can and cannot do in its transaction, through the whole guard."""

import gc
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.guard.shop import Shop, write_order
from tocsin.guard import GuardError, Signed, TransactionMisuse
from tocsin.guard.stores.sqlite import Rows, SQLiteStore, Transaction
from tocsin.guard.testing import claim

MakeShop = Callable[..., Shop]
Body = Callable[[Transaction], Any]


def shop_that(make_shop: MakeShop, body: Body, **options: Any) -> Shop:
    """A shop whose handler writes the order, then does something with its transaction, and returns 200 anyway."""

    def handler(signed: Signed, tx: Transaction) -> Any:
        answer = write_order(signed, tx)
        body(tx)
        return answer

    return make_shop(handler=handler, **options)


def swallowing(sql: str) -> Body:
    """Runs a statement and goes on as if nothing had happened."""

    def body(tx: Transaction) -> None:
        with suppress(TransactionMisuse, sqlite3.Error):
            tx.execute(sql)

    return body


CONTROL = [
    "COMMIT",
    "commit",
    "END",
    "ROLLBACK",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "/* harmless */ COMMIT",
    "-- harmless\nROLLBACK TRANSACTION",
]


@pytest.mark.parametrize("sql", CONTROL)
def test_a_handler_that_ends_or_begins_a_transaction_is_told_so(make_shop: MakeShop, sql: str) -> None:
    shop = shop_that(make_shop, lambda tx: tx.execute(sql))
    with pytest.raises(TransactionMisuse, match=r"(COMMIT|ROLLBACK|BEGIN) is refused while a handler runs"):
        shop.order()
    assert (shop.orders, shop.claims) == ([], 0)


@pytest.mark.parametrize("sql", CONTROL)
def test_a_handler_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned(
    make_shop: MakeShop, sql: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It wanted another outcome than a commit of everything; never remembered, so a retry runs."""
    shop = shop_that(make_shop, swallowing(sql))
    assert shop.order().status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)
    assert "the handler broke its transaction: it tried" in caplog.text
    shop.handler = write_order
    assert shop.order().status_code == 200


def test_a_commit_that_the_guard_has_run_before_is_still_refused(make_shop: MakeShop) -> None:
    """The sqlite3 module keeps compiled statements by their text, and those are not judged again."""
    shop = make_shop()
    for order_id in range(3):
        shop.order(order_id)

    def commits(signed: Signed, tx: Any) -> Any:
        answer = write_order(signed, tx)
        swallowing("COMMIT")(tx)
        return answer

    shop.handler = commits
    assert shop.order("17").status_code == 500
    assert "17" not in shop.orders


@pytest.mark.parametrize(
    "sql",
    ["INSERT OR ROLLBACK INTO things VALUES (1)", "INSERT INTO once VALUES (1)"],
    ids=["OR ROLLBACK", "a table whose constraint rolls back"],
)
def test_a_handler_whose_statement_rolled_the_transaction_back_is_500(make_shop: MakeShop, sql: str) -> None:
    """SQLite would run what follows in autocommit, outside of every claim."""

    def body(tx: Transaction) -> None:
        swallowing(sql)(tx)
        with pytest.raises(TransactionMisuse, match="rolled its transaction back"):
            tx.execute("INSERT INTO orders VALUES ('unguarded')")
        with pytest.raises(TransactionMisuse, match="rolled its transaction back"), tx.savepoint():
            pass

    shop = shop_that(make_shop, body)
    with sqlite3.connect(shop.path) as db:
        db.executescript(
            "CREATE TABLE things (id INTEGER PRIMARY KEY); INSERT INTO things VALUES (1);"
            "CREATE TABLE once (id INTEGER UNIQUE ON CONFLICT ROLLBACK); INSERT INTO once VALUES (1);"
        )
    db.close()
    assert shop.order().status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("ATTACH ':memory:' AS other", "ATTACH"),
        ("DETACH other", "DETACH"),
        ("PRAGMA journal_mode = delete", "PRAGMA journal_mode"),
        ("PRAGMA synchronous = OFF", "PRAGMA synchronous"),
        ("DELETE FROM tocsin_claims", "writing to tocsin_claims"),
        ("UPDATE TOCSIN_CLAIMS SET status = 200", "writing to tocsin_claims"),
        ("INSERT INTO tocsin_forgotten VALUES ('', '', 0)", "writing to tocsin_forgotten"),
        ("DELETE FROM tocsin_sequences", "writing to tocsin_sequences"),
        ("DROP TABLE tocsin_claims", "writing to"),
        ("ALTER TABLE tocsin_claims ADD COLUMN more", "writing to tocsin_claims"),
        ("CREATE TRIGGER t AFTER INSERT ON tocsin_claims BEGIN SELECT 1; END", "writing to tocsin_claims"),
        ("RELEASE tocsin_1", "RELEASE of a savepoint of the guard"),
    ],
)
def test_what_is_the_guards_is_refused(make_shop: MakeShop, sql: str, named: str) -> None:
    shop = shop_that(make_shop, lambda tx: tx.execute(sql))
    with pytest.raises(TransactionMisuse, match=f"{named}.* is refused while a handler runs"):
        shop.order()
    assert (shop.orders, shop.claims) == ([], 0)


def test_refused_statements_that_end_nothing_do_not_break_a_handler_that_goes_on(make_shop: MakeShop) -> None:
    shop = shop_that(make_shop, swallowing("DELETE FROM tocsin_claims"))
    assert shop.order().status_code == 200
    assert (shop.orders, shop.claims) == (["17"], 1)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE more (id INTEGER)",
        "SELECT count(*) FROM tocsin_claims",
        "PRAGMA table_info(orders)",
        "PRAGMA defer_foreign_keys = ON",
        "SAVEPOINT mine",
        "DELETE FROM orders WHERE order_id = 'other'",
    ],
)
def test_everything_else_is_the_handlers_own_business(make_shop: MakeShop, sql: str) -> None:
    shop = shop_that(make_shop, lambda tx: tx.execute(sql))
    assert shop.order().status_code == 200
    assert (shop.orders, shop.claims) == (["17"], 1)


def test_a_savepoint_is_the_way_to_catch_an_sql_error_and_go_on(make_shop: MakeShop) -> None:
    def body(tx: Transaction) -> None:
        with suppress(sqlite3.IntegrityError), tx.savepoint():
            tx.execute("INSERT INTO orders VALUES ('undone')")
            tx.execute("INSERT INTO orders VALUES (NULL)")
        with tx.savepoint(), tx.savepoint():
            tx.execute("INSERT INTO orders VALUES ('kept')")

    shop = shop_that(make_shop, body)
    assert shop.order().status_code == 200
    assert shop.orders == ["17", "kept"]


def test_a_savepoint_in_a_transaction_that_was_rolled_back_raises_what_happened(make_shop: MakeShop) -> None:
    def body(tx: Transaction) -> None:
        tx.execute("CREATE TABLE things (id INTEGER PRIMARY KEY)")
        with tx.savepoint():
            tx.executemany("INSERT OR ROLLBACK INTO things VALUES (?)", [(1,), (1,)])

    shop = shop_that(make_shop, body)
    with pytest.raises(sqlite3.IntegrityError):
        shop.order()
    assert (shop.orders, shop.claims) == ([], 0)


def test_a_transaction_and_its_rows_end_with_the_handler(make_shop: MakeShop) -> None:
    """A cursor that stayed open would go on reading in the next handler's transaction."""
    kept: list[tuple[Transaction, Rows, Rows]] = []

    def body(tx: Transaction) -> None:
        rows = tx.execute("SELECT 1 UNION SELECT 2 UNION SELECT 3")
        assert rows.fetchone() == (1,)
        kept.append((tx, rows, tx.execute("UPDATE orders SET order_id = order_id RETURNING order_id")))

    shop = shop_that(make_shop, body)
    shop.order()
    for tx, rows, returning in kept:
        with pytest.raises(TransactionMisuse, match="ended with its handler"):
            tx.execute("SELECT 1")
        with pytest.raises(TransactionMisuse, match="ended with its handler"), tx.savepoint():
            pass
        for dead in (rows, returning):
            with pytest.raises(sqlite3.ProgrammingError):
                dead.fetchone()
    assert shop.order("18").status_code == 200


def test_what_a_handler_has_dropped_is_not_kept(make_shop: MakeShop) -> None:
    """Of ten thousand statements that were read in part, all stayed open: a handler took 50 times as long."""

    def body(tx: Transaction) -> None:
        for _ in range(100):
            assert tx.execute("SELECT 1 UNION SELECT 2").fetchone() == (1,)
        rows = tx.execute("SELECT 1 UNION SELECT 2")
        gc.collect()
        assert len(tx._cursors._held) == 1
        assert rows.fetchall() == [(1,), (2,)]

    assert shop_that(make_shop, body).order().status_code == 200


def test_rows_are_read_as_from_any_cursor(make_shop: MakeShop) -> None:
    seen: dict[str, Any] = {}

    def body(tx: Transaction) -> None:
        inserted = tx.executemany("INSERT INTO orders VALUES (:id)", [{"id": "a"}, {"id": "b"}])
        one = tx.execute("INSERT INTO orders VALUES (?)", ("c",))
        rows = tx.execute("SELECT order_id, 1 AS one FROM orders ORDER BY rowid")
        seen.update(
            inserted=inserted.rowcount,
            rowid=one.lastrowid,
            none=one.columns,
            columns=rows.columns,
            first=rows.fetchone(),
            next=rows.fetchmany(1),
            rest=rows.fetchall(),
            iterated=list(tx.execute("SELECT 1 UNION SELECT 2")),
        )

    shop_that(make_shop, body).order()
    assert seen == {
        "inserted": 2,
        "rowid": 4,
        "none": (),
        "columns": ("order_id", "one"),
        "first": ("17", 1),
        "next": [("a", 1)],
        "rest": [("b", 1), ("c", 1)],
        "iterated": [(1,), (2,)],
    }


def test_rows_have_the_form_that_the_developer_asked_for(make_shop: MakeShop, tmp_path: Path) -> None:
    """The guard's own statements do not mind."""
    seen: list[Any] = []

    def as_dict(cursor: sqlite3.Cursor, row: Sequence[Any]) -> dict[str, Any]:
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}

    shop = shop_that(
        make_shop,
        lambda tx: seen.append(tx.execute("SELECT order_id FROM orders").fetchone()),
        store=SQLiteStore(tmp_path / "orders.db", row_factory=as_dict),
    )
    assert shop.order().status_code == shop.order().status_code == 200
    assert seen == [{"order_id": "17"}]


def test_a_deferred_constraint_that_fails_at_commit_is_500_and_nothing_is_kept(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    store = SQLiteStore(tmp_path / "orders.db", on_connect=lambda db: db.execute("PRAGMA foreign_keys = ON"))
    shop = shop_that(make_shop, lambda tx: tx.execute("INSERT INTO lines VALUES (99)"), store=store)
    with sqlite3.connect(shop.path) as db:
        db.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        db.execute("CREATE TABLE lines (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    db.close()
    assert shop.order().status_code == 500
    assert (shop.orders, shop.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status_code == 200


def test_a_constraint_that_fails_at_once_is_the_handlers_exception(make_shop: MakeShop) -> None:
    """Not "a duplicate": an IntegrityError of the effect is no statement about the message."""
    shop = shop_that(make_shop, lambda tx: tx.execute("INSERT INTO orders VALUES (NULL)"))
    with pytest.raises(sqlite3.IntegrityError):
        shop.order()
    assert (shop.orders, shop.claims) == ([], 0)


def test_a_handler_that_holds_the_lock_for_long_is_named_in_the_log(
    make_shop: MakeShop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tocsin.guard")
    make_shop(store=SQLiteStore(tmp_path / "orders.db", hold_s=0)).order()
    assert "/order: its handler held the write lock for" in caplog.text


@pytest.mark.parametrize("mode", ["delete", "memory"])
def test_on_connect_cannot_leave_wal_mode(tmp_path: Path, mode: str) -> None:
    """The store declares that it is durable and that processes share it."""
    store = SQLiteStore(tmp_path / "store.db", on_connect=lambda db: db.execute(f"PRAGMA journal_mode = {mode}"))
    with pytest.raises(GuardError, match="on_connect has changed the journal mode; wanted wal"):
        store.take(claim(), 1)


def test_a_connection_that_on_connect_refuses_is_closed(tmp_path: Path) -> None:
    seen: list[sqlite3.Connection] = []

    def refuses(connection: sqlite3.Connection) -> None:
        seen.append(connection)
        raise LookupError

    store = SQLiteStore(tmp_path / "store.db", on_connect=refuses)
    for _ in range(2):
        with pytest.raises(LookupError):
            store.take(claim(), 1)
    for connection in seen:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_rows_that_on_connect_makes_dictionaries_of_are_rows_to_the_guard(make_shop: MakeShop, tmp_path: Path) -> None:
    def as_dictionaries(connection: sqlite3.Connection) -> None:
        connection.row_factory = lambda cursor, row: dict(
            zip([name for name, *_ in cursor.description], row, strict=True)
        )

    shop = make_shop(store=SQLiteStore(tmp_path / "orders.db", on_connect=as_dictionaries))
    assert [shop.order().status_code for _ in range(2)] == [200, 200]


def test_on_connect_cannot_take_durability_away(make_shop: MakeShop, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "orders.db", on_connect=lambda db: db.execute("PRAGMA synchronous = OFF"))
    seen: list[Any] = []
    shop_that(make_shop, lambda _: seen.append(level(store)), store=store).order()
    assert seen == [2]


def level(store: SQLiteStore) -> int:
    writer = store.turns.kept.writer
    assert writer is not None
    writer.authorizer.is_judging = False
    return int(writer.connection.execute("PRAGMA synchronous").fetchone()[0])
