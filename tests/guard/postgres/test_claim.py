"""The claim itself: bounded waiting, isolation levels, what is replaced, and what a wait may hold."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Event
from typing import Any

import psycopg
import pytest

from tests.guard.postgres.cluster import Database
from tests.guard.postgres.conftest import MakeShop
from tests.guard.postgres.relay import Relay
from tests.guard.server_shop import order_id_of, write_order
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed, StoreUnavailable
from tocsin.guard.stores import Forgotten, Granted, Record
from tocsin.guard.stores.postgres import PostgresStore, Transaction
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

MakeStore = Callable[..., PostgresStore]
LEVELS = ["read committed", "repeatable read", "serializable"]


class Gate:
    """A handler that waits inside until it is let out."""

    def __init__(self) -> None:
        self.inside = Event()
        self.out = Event()

    def __call__(self, signed: Signed, tx: Transaction) -> Any:
        self.inside.set()
        assert self.out.wait(60)
        return write_order(signed, tx)


def granted(store: PostgresStore, *arguments: Any, **options: Any) -> Granted[Transaction]:
    taken = store.take(claim(*arguments, **options), 10)
    assert isinstance(taken, Granted)
    return taken


def test_a_first_request_is_two_round_trips_and_its_handlers(relayed: MakeShop, relay: Relay) -> None:
    """BEGIN with the claim; the handler's INSERT; the answer with COMMIT."""
    shop = relayed()
    shop.order("1")
    relay.asked = 0
    assert shop.order("2").status_code == 201
    assert relay.asked == 3


def test_a_duplicate_is_two_round_trips(relayed: MakeShop, relay: Relay) -> None:
    """BEGIN with the claim; ROLLBACK with the stored answer."""
    shop = relayed()
    shop.order()
    relay.asked = 0
    assert shop.order().headers["Idempotent-Replayed"] == "true"
    assert relay.asked == 2


def test_lock_timeout_is_the_applications_own_while_the_handler_runs(make_shop: MakeShop, database: Database) -> None:
    """Whether the role, the connection or the handler before has set it."""
    conninfo = database.conninfo(options="-c lock_timeout=7s")
    shop = make_shop(store=PostgresStore(conninfo), handler=lambda _, tx: tx.execute("SHOW lock_timeout").fetchone()[0])
    assert shop.order("1").data == b"7s"
    shop.handler = lambda _, tx: tx.execute("SET lock_timeout = '9s'").rowcount and "set"
    shop.order("2")
    shop.handler = lambda _, tx: tx.execute("SHOW lock_timeout").fetchone()[0]
    assert shop.order("3").data == b"9s"


def test_a_duplicate_in_another_process_is_409_when_the_wait_is_over(make_shop: MakeShop) -> None:
    """PostgreSQL tells whose lock it was; the first one is not disturbed."""
    gate = Gate()
    first, second = make_shop(handler=gate), make_shop(guard={"wait_s": 0.05})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first.order)
        assert gate.inside.wait(60)
        answer = second.order()
        gate.out.set()
        assert running.result().status_code == 201
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "1")
    assert second.order().data == running.result().data
    assert second.runs == 0


def test_a_table_that_somebody_has_locked_is_503(make_shop: MakeShop, database: Database) -> None:
    """A migration, say: nobody is applying the key."""
    shop = make_shop(guard={"wait_s": 0.05})
    with closing(psycopg.connect(database.conninfo())) as other:
        other.execute("LOCK TABLE tocsin_claims")
        answer = shop.order()
    assert (answer.status_code, answer.headers["Retry-After"], shop.runs) == (503, "1", 0)
    assert shop.order().status_code == 201


@pytest.mark.parametrize("level", LEVELS)
def test_a_duplicate_that_waited_in_another_process_gets_the_stored_answer(
    level: str, make_shop: MakeShop, database: Database
) -> None:
    """Where transactions see a snapshot, the server answers 40001, which is no reason to run the handler."""
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")
    gate = Gate()
    first, second = make_shop(handler=gate), make_shop(guard={"wait_s": 30})
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(first.order)
        assert gate.inside.wait(60)
        waiting = pool.submit(second.order)
        database.await_waiting()
        gate.out.set()
        answers = [running.result(), waiting.result()]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].data == answers[1].data
    assert (second.runs, database.orders) == (0, ["17"])


def test_the_same_key_with_another_request_is_422_after_the_wait(make_shop: MakeShop, database: Database) -> None:
    gate = Gate()
    first, second = make_shop(handler=gate), make_shop(guard={"wait_s": 30})
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(first.order)
        assert gate.inside.wait(60)
        waiting = pool.submit(second.order, quantity=2)
        database.await_waiting()
        gate.out.set()
        assert running.result().status_code == 201
        assert waiting.result().status_code == 422


def test_whoever_waited_for_one_that_rolled_back_is_granted(make_store: MakeStore, database: Database) -> None:
    first = granted(make_store())
    other = make_store()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.take, claim(), 30)

        database.await_waiting()
        first.abandon()
        taken = waiting.result()
        assert isinstance(taken, Granted)
        pool.submit(taken.abandon).result()


def test_duplicates_of_one_process_wait_without_a_connection(make_shop: MakeShop, database: Database) -> None:
    """Two connections are enough for eight duplicates, the one they wait for, and another request."""
    gate = Gate()
    shop = make_shop(
        store=PostgresStore(database.conninfo(application_name="shop"), max_connections=2),
        handler=lambda signed, tx: gate(signed, tx) if order_id_of(signed) == "17" else write_order(signed, tx),
        guard={"wait_s": 30},
    )
    with ThreadPoolExecutor(9) as pool:
        running = [pool.submit(shop.order)]
        assert gate.inside.wait(60)
        running += [pool.submit(shop.order) for _ in range(8)]
        entry = next(iter(shop.guard._in_flight._entries.values()))
        database.until(lambda _: entry.waiters == 8)
        assert database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop'") == 1
        assert shop.order("18").status_code == 201
        gate.out.set()
        assert {future.result().data for future in running} == {running[0].result().data}


def test_a_request_that_finds_every_connection_in_use_is_503(make_shop: MakeShop, database: Database) -> None:
    gate = Gate()
    store = PostgresStore(database.conninfo(), max_connections=1)
    shop = make_shop(store=store, handler=gate, guard={"wait_s": 0.05})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shop.order)
        assert gate.inside.wait(60)
        answer = shop.order("18")
        gate.out.set()
        assert running.result().status_code == 201
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("level", LEVELS)
def test_an_expired_claim_is_replaced_by_one_of_many(level: str, make_store: MakeStore, database: Database) -> None:
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")
    granted(make_store(), kept_ms=1000).settle(ANSWER)
    later = claim(taken_unix_ms=NOW_UNIX_MS + 5000, kept_ms=1000)
    stores = [make_store() for _ in range(6)]
    numbers = iter(range(6))

    def race() -> str:
        taken = stores[next(numbers)].take(later, 30)
        if isinstance(taken, Granted):
            taken.settle(replace(ANSWER, body=b"later"))
            return "granted"
        assert isinstance(taken, Record)
        return str(taken.body)

    assert sorted(together(6, race)) == ["b'later'"] * 5 + ["granted"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_claim_that_is_swept_while_its_duplicate_waits_is_known_as_forgotten(
    level: str, make_store: MakeStore, database: Database
) -> None:
    """A clock went back: the message verifies again, and the sweep that lets its claim go has not committed yet."""
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")
    store = make_store()
    granted(store, kept_ms=1000).settle(ANSWER)
    again = replace(claim(taken_unix_ms=NOW_UNIX_MS + 10), earliest_unix_ms=NOW_UNIX_MS - 1000)
    with closing(psycopg.connect(database.conninfo())) as sweeper, ThreadPoolExecutor(1) as pool:
        sweeper.execute("DELETE FROM tocsin_claims")
        sweeper.execute("INSERT INTO tocsin_forgotten VALUES ('main', '/order', %s)", (NOW_UNIX_MS,))
        waiting = pool.submit(store.take, again, 30)
        database.await_waiting()
        sweeper.commit()
        taken = waiting.result()
    if isinstance(taken, Granted):
        taken.abandon()
    assert isinstance(taken, Forgotten)


def test_a_sweep_is_bounded_and_does_not_wait_for_requests(make_store: MakeStore, database: Database) -> None:
    """501 are due, and one of them is being replaced at this moment: it has been let go already."""
    database.query(
        "INSERT INTO tocsin_claims SELECT sha256(n::text::bytea), 1, 'main', '/order', NULL, n, n, n, n, 200, '', '' "
        "FROM generate_series(1, 501) n"
    )
    store, other = make_store(), make_store()
    first = database.value("SELECT key FROM tocsin_claims WHERE due_unix_ms = 1")
    replacing = other.take(replace(claim(), key=first), 10)
    assert isinstance(replacing, Granted)
    assert store.sweep(NOW_UNIX_MS) == 500
    assert store.sweep(NOW_UNIX_MS) == 0
    replacing.settle(ANSWER)
    assert database.claims == 1


def test_a_sweep_strips_answers_and_keeps_tombstones(make_store: MakeStore, database: Database) -> None:
    store = make_store()
    kept = replace(claim(), answer_until_unix_ms=NOW_UNIX_MS + 10, claim_until_unix_ms=NOW_UNIX_MS + 1000)
    taken = store.take(kept, 10)
    assert isinstance(taken, Granted)
    taken.settle(ANSWER)
    assert store.sweep(NOW_UNIX_MS + 10) == 1
    assert store.sweep(NOW_UNIX_MS + 10) == 0
    assert store.look(kept.key) == Record(kept.fingerprint, 201, None, None, *(NOW_UNIX_MS + 10, NOW_UNIX_MS + 1000))
    assert store.sweep(NOW_UNIX_MS + 1000) == 1
    assert database.claims == 0


def test_a_sweep_that_meets_a_lock_is_put_off(make_store: MakeStore, database: Database) -> None:
    store = make_store()
    with closing(psycopg.connect(database.conninfo())) as other:
        other.execute("LOCK TABLE tocsin_claims")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.sweep(NOW_UNIX_MS)
    assert store.sweep(NOW_UNIX_MS) == 0


def test_a_claim_that_was_committed_without_an_answer_never_runs_again(make_shop: MakeShop, database: Database) -> None:
    shop = make_shop()
    shop.order()
    database.query("UPDATE tocsin_claims SET status = NULL")
    shop.clock.now += 1e9
    answer = shop.order()
    assert (answer.status_code, shop.runs) == (500, 1)
    assert "applied" in json.loads(answer.data)["detail"]


def test_the_row_is_updated_in_its_page_so_that_no_index_grows(shop: Any, database: Database) -> None:
    """due_unix_ms is written with the claim: storing the answer changes no column that is indexed."""
    assert shop.order().status_code == 201
    shop.store.close()
    database.until(
        lambda connection: connection.execute(
            "SELECT n_tup_hot_upd = 1 FROM pg_stat_user_tables WHERE relname = 'tocsin_claims'"
        ).fetchall()[0][0]
    )
