"""The store for tasks: what is different where a task waits, and may be cancelled while it does."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pymysql
import pytest

from tests.guard.mariadb.relay import Cut, Relay
from tests.guard.mariadb.server import WAITING, Database
from tests.guard.mariadb.test_innodb import LONG_S
from tocsin.guard import GuardError, TransactionMisuse
from tocsin.guard._errors import CommitUnknown, StoreUnavailable, TransactionBroken
from tocsin.guard.stores import Record
from tocsin.guard.stores.mariadb import AsyncMariaDBStore
from tocsin.guard.testing import ANSWER, claim

INSERT = "INSERT INTO orders (order_id) VALUES (%s)"


def run(database: Database, work: Callable[[AsyncMariaDBStore], Awaitable[None]], **url: Any) -> None:
    async def main() -> None:
        store = AsyncMariaDBStore(database.url(**url))
        await store.migrate_async()
        await work(store)
        await store.close_async()

    asyncio.run(main())


async def granted(store: AsyncMariaDBStore, name: str = "order-1") -> Any:
    taken = await store.take_async(claim(name), LONG_S)
    assert not isinstance(taken, Record)
    return taken


def test_a_task_writes_reads_and_undoes_a_part(database: Database) -> None:
    async def work(store: AsyncMariaDBStore) -> None:
        one = await granted(store)
        await one.tx.executemany(INSERT, [("1",), ("2",)])
        with suppress(pymysql.Error):
            async with one.tx.savepoint():
                await one.tx.execute(INSERT, ("undone",))
                await one.tx.execute("SELECT no_such_column")
        async with one.tx.savepoint():
            await one.tx.execute(INSERT, ("3",))
        rows = await one.tx.execute("SELECT order_id FROM orders ORDER BY id")
        assert rows.fetchall() == [("1",), ("2",), ("3",)]
        await one.settle_async(ANSWER)
        assert (database.orders, database.claims) == (["1", "2", "3"], 1)

    run(database, work)


@pytest.mark.parametrize("sql", ["COMMIT", "CREATE TABLE x (i int)", "SELECT 1; SELECT 2"])
def test_what_would_end_the_transaction_is_refused(sql: str, database: Database) -> None:
    async def work(store: AsyncMariaDBStore) -> None:
        one = await granted(store)
        with pytest.raises(TransactionMisuse):
            await one.tx.execute(sql)
        if ";" in sql:
            await one.abandon_async()
        else:
            with pytest.raises(TransactionBroken):
                await one.settle_async(ANSWER)
        assert database.claims == 0

    run(database, work)


def test_a_task_that_is_cancelled_while_it_waits_for_a_claim_has_taken_nothing(database: Database) -> None:
    async def work(store: AsyncMariaDBStore) -> None:
        other = AsyncMariaDBStore(database.url())
        held = await granted(other)
        waiting = asyncio.create_task(store.take_async(claim(), LONG_S))
        await asyncio.to_thread(database.until, lambda ask: bool(ask(WAITING, 1)[0][0]))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await held.abandon_async()
        again = await granted(store)
        await again.settle_async(ANSWER)
        assert database.claims == 1
        await other.close_async()

    run(database, work)


def test_a_task_that_is_cancelled_at_commit_is_told_how_it_ended_and_cancelled_then(database: Database) -> None:
    async def work(store: AsyncMariaDBStore) -> None:
        settled: list[bool] = []

        async def order() -> None:
            one = await granted(store)
            await one.tx.execute(INSERT, ("1",))
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            await one.settle_async(ANSWER)
            settled.append(True)
            await asyncio.sleep(0)
            settled.append(False)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(order())
        assert (settled, database.orders, database.claims) == ([True], ["1"], 1)

    run(database, work)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_connection_that_a_task_lost_at_commit_is_unknown_and_taking_again_tells(
    cut: Cut, database: Database, relay: Relay
) -> None:
    async def work(store: AsyncMariaDBStore) -> None:
        one = await granted(store)
        await one.tx.execute(INSERT, ("1",))
        relay.cut = cut
        with pytest.raises(CommitUnknown):
            await one.settle_async(ANSWER)
        taken = await store.take_async(claim(), LONG_S)
        assert isinstance(taken, Record) is (cut is Cut.AFTER)
        if not isinstance(taken, Record):
            await taken.abandon_async()  # type: ignore[union-attr]  # nothing was forgotten

    run(database, work, port=relay.port)
    assert database.orders == (["1"] if cut is Cut.AFTER else [])


def test_nested_operations_of_a_task_join_its_transaction_and_another_tasks_may_not(database: Database) -> None:
    async def work(store: AsyncMariaDBStore) -> None:
        outer = await granted(store, "outer")
        inner = await granted(store, "inner")
        await inner.tx.execute(INSERT, ("inner",))
        await inner.settle_async(ANSWER)
        with pytest.raises(GuardError, match="from another task"):
            await asyncio.create_task(store.take_async(claim("other"), LONG_S))
        with pytest.raises(TransactionMisuse, match="the task of its handler"):
            await asyncio.create_task(outer.tx.execute("SELECT 1"))
        await outer.settle_async(ANSWER)
        assert not store.is_inside_async()
        assert (database.orders, database.claims) == (["inner"], 2)

    run(database, work)


def test_a_server_that_cannot_be_reached_is_unavailable_to_a_task() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        asyncio.run(AsyncMariaDBStore("mariadb://127.0.0.1:1/db").look_async(claim().key))
