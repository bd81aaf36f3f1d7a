"""InnoDB's traps: what a claim must not do, what a handler must not lose, and what the server undoes unasked."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pymysql
import pytest

from lab._mariadb import CARELESS, MariaDB, missing
from tests.guard.mariadb.conftest import MakeShop
from tests.guard.mariadb.server import WAITING, Database, database_on
from tests.guard.mariadb.shop import MariaDBShop
from tests.guard.server_shop import nothing_is_kept, order_id_of, write_order
from tocsin.guard import GuardError, Signed, TransactionMisuse
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import KeyInUse, StoreUnavailable
from tocsin.guard.stores import Forgotten, Granted, Record
from tocsin.guard.stores.mariadb import MariaDBStore
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

MakeStore = Callable[..., MariaDBStore]
LONG_S = 30.0


def granted(store: MariaDBStore, name: str = "order-1", **more: Any) -> Granted[Any]:
    taken = store.take(claim(name, **more), LONG_S)
    assert isinstance(taken, Granted)
    return taken


def settled(store: MariaDBStore, name: str = "order-1", **more: Any) -> None:
    granted(store, name, **more).settle(ANSWER)


def saying(database: Database, *settings: str) -> Callable[[], Any]:
    """What opens connections with settings of the application's own."""
    return partial(database.connect, autocommit=False, init_command=f"SET {', '.join(settings)}")


def test_a_claim_locks_no_gap_in_which_others_write_theirs(make_store: MakeStore) -> None:
    """A look before the claim (FOR UPDATE) would lock the gap, and two such looks would be a deadlock."""
    one, other = make_store(), make_store()
    first = granted(one, "a")
    for name in map(str, range(20)):
        taken = other.take(claim(name), 1.0)
        assert isinstance(taken, Granted)
        taken.settle(ANSWER)
    first.settle(ANSWER)


def test_waiters_of_a_key_that_is_given_back_meet_in_a_deadlock_and_one_of_them_is_granted(
    make_store: MakeStore, database: Database
) -> None:
    """All of them hold a shared lock on what is left of it, and want more: error 1213, on the claim itself."""
    holder, waiting = make_store(), [make_store() for _ in range(4)]
    held = granted(holder)

    def wait(store: MariaDBStore) -> bool:
        taken = store.take(claim(), LONG_S)
        if isinstance(taken, Granted):
            taken.settle(ANSWER)
            return True
        assert isinstance(taken, Record)
        return False

    with ThreadPoolExecutor(4) as pool:
        ended = [pool.submit(wait, store) for store in waiting]
        database.await_waiting(4)
        held.abandon()
        assert sorted(one.result() for one in ended) == [False, False, False, True]


def test_a_claim_that_is_committed_behind_a_snapshot_is_found(make_store: MakeStore, database: Database) -> None:
    """REPEATABLE READ hides the row from a plain SELECT of the transaction around it."""
    store, other = make_store(), make_store()
    outer = granted(store, "outer")
    outer.tx.execute("SELECT * FROM tocsin_claims").fetchall()
    settled(other, "inner")
    inner = store.take(claim("inner"), LONG_S)
    assert isinstance(inner, Record)
    assert inner.body == ANSWER.body
    outer.settle(ANSWER)
    assert database.claims == 2


def test_a_snapshot_that_innodb_isolates_runs_the_whole_transaction_again(
    make_shop: MakeShop, make_store: MakeStore, database: Database
) -> None:
    """innodb_snapshot_isolation: error 1020 undoes everything, and says so as if it were one statement's."""
    database.query("CREATE TABLE stock (item int PRIMARY KEY, left_over int NOT NULL)")
    database.query("INSERT INTO stock VALUES (1, 10)")

    def sells(signed: Signed, tx: Any) -> Any:
        [[left]] = tx.execute("SELECT left_over FROM stock").fetchall()
        if left == 10:
            database.query("UPDATE stock SET left_over = 5")
        tx.execute("UPDATE stock SET left_over = left_over - 1 WHERE item = 1")
        return write_order(signed, tx)

    store = make_store(saying(database, "innodb_snapshot_isolation = ON"))
    shop = make_shop(store=store, handler=sells)
    assert shop.order().status_code == 201
    assert (shop.runs, database.value("SELECT left_over FROM stock"), database.orders) == (2, 4, ["17"])


@pytest.mark.parametrize("is_swallowed", [False, True], ids=["raised", "swallowed"])
def test_of_two_handlers_in_a_deadlock_one_runs_again(
    *, is_swallowed: bool, make_shop: MakeShop, database: Database
) -> None:
    """Swallowed: what the handler writes next would be in another transaction, and be kept without its claim."""
    database.query("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)")
    database.query("INSERT INTO accounts VALUES (1, 0), (2, 0)")

    def in_order(first: int, second: int, signed: Signed, tx: Any) -> Any:
        tx.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", (first,))
        if shop.runs < 3:
            # Until both have their first row; a third run is one that runs again.
            database.until(lambda _: shops[0].runs + shops[1].runs >= 2)
        try:
            tx.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", (second,))
        except pymysql.Error:
            if not is_swallowed:
                raise
            with pytest.raises(TransactionMisuse, match="undone"):
                write_order(signed, tx)
            return {"swallowed": True}, 201
        return write_order(signed, tx)

    shops = [make_shop(handler=partial(in_order, *order), guard={"wait_s": LONG_S}) for order in [(1, 2), (2, 1)]]
    shop = shops[0]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(one.order, str(number)) for number, one in enumerate(shops)]
        assert [answer.result().status_code for answer in answers] == [201, 201]
    assert database.query("SELECT balance FROM accounts") == [(2,), (2,)]
    assert sorted(database.orders) == ["0", "1"]
    assert shops[0].runs + shops[1].runs >= 3


def test_after_a_deadlock_that_was_swallowed_behind_the_facade_nothing_is_kept(shop: MariaDBShop) -> None:
    """The server begins a transaction for the next statement; with autocommit it would commit that."""

    def undone(_: Signed, tx: Any) -> Any:
        with tx._session.connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
            cursor.execute("INSERT INTO orders (order_id) VALUES ('17')")
        return {}, 201

    shop.handler = undone
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


@pytest.fixture(scope="module")
def undoing() -> Iterator[MariaDB]:
    """A server whose lock waits undo the whole transaction when they time out."""
    if missing():
        pytest.skip(missing())
    with MariaDB(*CARELESS, "innodb-rollback-on-timeout=ON") as running:
        yield running


@pytest.fixture(params=["OFF", "ON"])
def on_timeout(request: pytest.FixtureRequest) -> Iterator[tuple[str, Database]]:
    """innodb_rollback_on_timeout, and a database of a server that has it so."""
    name = "server" if request.param == "OFF" else "undoing"
    with database_on(request.getfixturevalue(name)) as made:
        yield request.param, made


def test_a_lock_wait_that_times_out_is_503_whether_it_undoes_the_statement_or_everything(
    on_timeout: tuple[str, Database], make_shop: MakeShop, make_store: MakeStore
) -> None:
    """The same error 1205; with innodb_rollback_on_timeout the transaction is gone."""
    undoes, database = on_timeout
    swallowed: tuple[type[Exception], ...] = ()

    def meets(signed: Signed, tx: Any) -> Any:
        write_order(signed, tx)
        with suppress(*swallowed):
            tx.execute("UPDATE orders SET order_id = 'mine' WHERE id = 99")
        return {}, 201

    store = make_store(saying(database, "innodb_lock_wait_timeout = 1"))
    shop = make_shop(database=database, store=store, handler=meets)
    database.query("INSERT INTO orders VALUES (99, 'locked')")
    with closing(database.connect(autocommit=False)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT * FROM orders WHERE id = 99 FOR UPDATE")
        assert shop.order("1").status_code == 503
        swallowed = (pymysql.Error,)
        # OFF: only the statement is undone, and what was written before it stands.
        assert shop.order("2").status_code == (201 if undoes == "OFF" else 503)
    assert database.orders == (["locked", "2"] if undoes == "OFF" else ["locked"])


@pytest.mark.usefixtures("server")
def test_a_nested_claim_that_waits_too_long_leaves_the_transaction_around_it(
    on_timeout: tuple[str, Database], make_store: MakeStore
) -> None:
    """Its wait is the statement's own time limit, which undoes the statement and nothing else."""
    _, database = on_timeout
    store, other = make_store(database.url()), make_store(database.url())
    outer, held = granted(store, "outer"), granted(other, "inner")
    outer.tx.execute("INSERT INTO orders (order_id) VALUES ('outer')")
    with pytest.raises(KeyInUse):
        store.take(claim("inner"), 0.05)
    held.abandon()
    outer.settle(ANSWER)
    assert database.orders == ["outer"]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE more (i int)",
        "TRUNCATE TABLE orders",
        "ALTER TABLE orders ADD x int",
        "/*!50000 DROP TABLE orders */",
        "LOCK TABLES orders WRITE",
        "START TRANSACTION",
        "begin",
        "COMMIT",
        "ROLLBACK WORK",
        "SET autocommit = 1",
        "XA END 'x'",
    ],
)
def test_what_commits_without_being_asked_is_refused_and_the_answer_is_500(sql: str, shop: MariaDBShop) -> None:
    def tries(signed: Signed, tx: Any) -> Any:
        rendered = write_order(signed, tx)
        with pytest.raises(TransactionMisuse, match="is refused while a handler runs"):
            tx.execute(sql)
        return rendered

    shop.handler = tries
    assert shop.order().status_code == 500
    nothing_is_kept(shop)


@pytest.mark.parametrize(
    ("controls", "claims"),
    [
        (["COMMIT"], 1),
        (["COMMIT", "BEGIN"], 1),
        (["ROLLBACK"], 0),
        (["START TRANSACTION"], 1),
        (["CREATE TABLE x (i int)"], 1),
    ],
)
def test_a_transaction_that_was_ended_behind_the_facade_is_500_and_never_remembered(
    controls: list[str], claims: int, shop: MariaDBShop
) -> None:
    """A committed claim without an answer: applied, answer unknown, and it never runs again by itself."""

    def ends(signed: Signed, tx: Any) -> Any:
        rendered = write_order(signed, tx)
        with tx._session.connection.cursor() as cursor:
            for control in controls:
                cursor.execute(control)
        return rendered

    shop.handler = ends
    assert shop.order().status_code == 500
    assert shop.database.claims == claims
    if claims:
        assert shop.order().status_code == 500
        assert shop.runs == 1
    else:
        nothing_is_kept(shop)


def test_a_procedure_that_commits_is_found_out_at_once(shop: MariaDBShop) -> None:
    shop.database.query("CREATE PROCEDURE commits() BEGIN INSERT INTO orders (order_id) VALUES ('x'); COMMIT; END")

    def calls(signed: Signed, tx: Any) -> Any:
        with pytest.raises(TransactionMisuse, match="has ended the transaction"):
            tx.execute("CALL commits()")
        with pytest.raises(TransactionMisuse):
            write_order(signed, tx)
        return {}, 201

    shop.handler = calls
    assert shop.order().status_code == 500
    assert (shop.database.orders, shop.database.claims) == (["x"], 1)


def test_keys_are_told_apart_where_collations_would_not(make_store: MakeStore, database: Database) -> None:
    """Under MariaDB's default collation "A", "a" and "a " are one text; and a trailing zero is no padding."""
    store = make_store()
    for key in (b"A" * 32, b"a" * 32, b"a" * 31 + b" ", b"a" * 31 + b"\0"):
        taken = store.take(replace(claim(), key=key), LONG_S)
        assert isinstance(taken, Granted)
        taken.settle(StoredAnswer(200, b"[]", key))
    for key in (b"A" * 32, b"a" * 32, b"a" * 31 + b" ", b"a" * 31 + b"\0"):
        found = store.look(key)
        assert found is not None
        assert found.body == key
    assert database.claims == 4


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "utf8mb3", "cp932"])
def test_names_and_answers_are_kept_whatever_the_connections_character_set(
    charset: str, make_store: MakeStore, database: Database
) -> None:
    """The database's is latin1; an emoji has four bytes, of which utf8mb3 would keep none."""
    store = make_store(partial(database.connect, autocommit=False, charset=charset))
    wanted = replace(claim(), tenant="Zürich 🛎", operation="/bestellung/ö")
    taken = store.take(wanted, LONG_S)
    assert isinstance(taken, Granted)
    taken.settle(StoredAnswer(200, '[["X","🛎"]]'.encode(), bytes(range(256))))
    found = store.look(wanted.key)
    assert found is not None
    assert (found.headers, found.body) == ('[["X","🛎"]]'.encode(), bytes(range(256)))
    [[tenant, operation]] = database.query("SELECT tenant, operation FROM tocsin_claims")
    assert (tenant.decode(), operation.decode()) == (wanted.tenant, wanted.operation)


@pytest.mark.parametrize(
    "mode",
    ["", "ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES", "ORACLE,EMPTY_STRING_IS_NULL", "PAD_CHAR_TO_FULL_LENGTH",
     "TRADITIONAL,ONLY_FULL_GROUP_BY,SIMULTANEOUS_ASSIGNMENT"],
)  # fmt: skip
def test_no_sql_mode_makes_anything_else_of_a_claim(mode: str, make_store: MakeStore, database: Database) -> None:
    store = make_store(saying(database, f"sql_mode = '{mode}'"))
    settled(store, kept_ms=1000)
    taken = granted(store, "empty")
    taken.settle(StoredAnswer(204, b"", b""))
    found = store.look(claim("empty").key)
    assert found is not None
    assert (found.headers, found.body) == (b"", b"")
    assert isinstance(store.take(claim(kept_ms=1000), LONG_S), Record)
    assert store.sweep(NOW_UNIX_MS + 1000) == 1
    assert store.look(claim().key) is None


def test_a_name_that_the_server_would_cut_off_in_silence_is_refused(make_store: MakeStore, database: Database) -> None:
    store = make_store(saying(database, "sql_mode = ''"))
    with pytest.raises(GuardError, match="wanted at most 2048"):
        store.take(replace(claim(), operation="/" + "ö" * 1024), LONG_S)
    assert database.claims == 0
    settled(store)


def test_an_answer_that_no_message_can_hold_is_500_and_the_log_names_the_option(
    shop: MariaDBShop, caplog: pytest.LogCaptureFixture
) -> None:
    """The server would hang up, and the guard would take that for a lost COMMIT."""
    shop.database.query("SET GLOBAL max_allowed_packet = 65536")
    try:
        shop.handler = lambda signed, tx: (write_order(signed, tx), ("x" * 40_000, 200))[1]
        assert shop.order().status_code == 500
        assert "max_allowed_packet is 65536" in caplog.text
        assert shop.runs == 1
        nothing_is_kept(shop)
    finally:
        shop.database.query("SET GLOBAL max_allowed_packet = 16777216")


def test_a_duplicate_key_of_the_applications_own_is_not_taken_for_the_claims(shop: MariaDBShop) -> None:
    """INSERT IGNORE would swallow it; and in the end the handler's own error is the handler's."""
    shop.database.query("ALTER TABLE orders ADD UNIQUE (order_id)")
    shop.database.query("INSERT INTO orders (order_id) VALUES ('17')")

    def catches(signed: Signed, tx: Any) -> Any:
        try:
            write_order(signed, tx)
        except pymysql.IntegrityError:
            tx.execute("INSERT INTO orders (order_id) VALUES (%s)", (order_id_of(signed) + " again",))
        return {}, 201

    shop.handler = catches
    assert shop.order().status_code == 201
    # A failed statement undoes itself only, unlike on PostgreSQL: the transaction stands.
    assert shop.database.orders == ["17", "17 again"]


def test_an_error_that_is_none_of_the_keys_is_not_swallowed_with_it(make_store: MakeStore, database: Database) -> None:
    """INSERT IGNORE makes a warning of a trigger's refusal, and of a claim that was never written."""
    database.query(
        "CREATE TRIGGER refuse BEFORE INSERT ON tocsin_claims FOR EACH ROW "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no claims today'"
    )
    with pytest.raises(StoreUnavailable, match="no claims today"):
        make_store().take(claim(), LONG_S)


def test_the_applications_own_time_outs_hold_while_the_handler_runs(make_store: MakeStore, database: Database) -> None:
    """The claim's bounds are its statement's own."""
    own = "innodb_lock_wait_timeout = 7, lock_wait_timeout = 8, max_statement_time = 9"
    held = granted(make_store(saying(database, own)))
    asked = "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@max_statement_time"
    assert held.tx.execute(asked).fetchall() == [(7, 8, 9.0)]
    held.settle(ANSWER)


def test_several_statements_in_one_text_are_refused(shop: MariaDBShop) -> None:
    """The connection would take them: that is for the guard's own messages, and not for what somebody injects."""

    def injected(signed: Signed, tx: Any) -> Any:
        with pytest.raises(TransactionMisuse, match="one execute"):
            tx.execute("INSERT INTO orders (order_id) VALUES ('1'); INSERT INTO orders (order_id) VALUES ('2')")
        return write_order(signed, tx)

    shop.handler = injected
    assert shop.order().status_code == 201
    assert shop.database.orders == ["17"]


def test_who_holds_the_key_is_told_from_who_holds_the_table(make_store: MakeStore, database: Database) -> None:
    """A claim that is not committed shows in a dirty read."""
    store, other = make_store(), make_store()
    held = granted(other)
    with pytest.raises(KeyInUse):
        store.take(claim(), 0.05)
    held.abandon()
    with closing(database.connect()) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLES tocsin_claims WRITE")
        with pytest.raises(StoreUnavailable) as raised:
            store.take(claim(), 0.05)
    assert not isinstance(raised.value, KeyInUse)
    settled(store)


def test_a_sweep_stands_in_the_way_of_no_claim(make_store: MakeStore, database: Database) -> None:
    """At REPEATABLE READ it would lock the gaps between what it lets go, and after them."""
    store, other = make_store(), make_store()
    for number in range(3):
        settled(store, str(number), kept_ms=1000 + number)
    with closing(database.connect(autocommit=False)) as holder, holder.cursor() as cursor:
        # Keeps the sweep where it is when all of its rows are locked and deleted.
        cursor.execute("INSERT INTO tocsin_forgotten VALUES ('main', '/order', 1)")
        with ThreadPoolExecutor(1) as pool:
            swept = pool.submit(store.sweep, NOW_UNIX_MS + 5000)
            database.until(lambda ask: swept.done() or bool(ask(WAITING, 1)[0][0]))
            for kept_ms in (500, 1001, 9000, None):
                taken = other.take(claim(hashlib.sha256(str(kept_ms).encode()).hexdigest(), kept_ms=kept_ms), 5.0)
                assert isinstance(taken, Granted)
                taken.settle(ANSWER)
            holder.rollback()
            assert swept.result() == 3


def test_a_claim_that_is_swept_while_its_duplicate_waits_is_known_as_forgotten(
    make_store: MakeStore, database: Database
) -> None:
    store = make_store()
    settled(store, kept_ms=1000)
    store.sweep(NOW_UNIX_MS + 1000)
    assert database.query("SELECT taken_unix_ms FROM tocsin_forgotten") == [(NOW_UNIX_MS,)]
    late = replace(claim(), earliest_unix_ms=NOW_UNIX_MS)
    assert isinstance(store.take(late, LONG_S), Forgotten)
    outer = granted(store, "outer")
    outer.tx.execute("SELECT * FROM tocsin_forgotten").fetchall()
    assert isinstance(store.take(late, LONG_S), Forgotten)
    outer.settle(ANSWER)
    assert isinstance(store.take(replace(late, earliest_unix_ms=NOW_UNIX_MS + 1), LONG_S), Granted)
