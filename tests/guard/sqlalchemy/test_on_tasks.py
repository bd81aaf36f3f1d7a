"""The store for the tasks of an event loop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker
from sqlalchemy.pool import NullPool

from tests.guard.sqlalchemy.backends import Backend, Order
from tests.guard.sqlalchemy.shop import (
    LONG_S,
)
from tocsin.guard import GuardError, TransactionMisuse
from tocsin.guard._errors import TransactionBroken
from tocsin.guard.stores import Record
from tocsin.guard.stores.sqlalchemy import AsyncSQLAlchemyStore
from tocsin.guard.testing import ANSWER, claim


def run(backend: Backend, work: Callable[[AsyncSQLAlchemyStore], Any]) -> None:
    async def main() -> None:
        engine = backend.async_engine(poolclass=NullPool)
        try:
            await work(AsyncSQLAlchemyStore(async_sessionmaker(engine)))
        finally:
            await engine.dispose()

    asyncio.run(main())


async def async_granted(store: AsyncSQLAlchemyStore, name: str = "order-1") -> Any:
    taken = await store.take_async(claim(name), LONG_S)
    assert not isinstance(taken, Record)
    return taken


def test_an_async_session_joins_the_transaction_and_its_own_commit_is_a_savepoint(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        one = await async_granted(store)
        one.tx.add(Order(order_id="1"))
        await one.tx.commit()
        one.tx.add(Order(order_id="2"))
        await one.abandon_async()
        assert (backend.orders, backend.claims) == ([], 0)
        one = await async_granted(store)
        one.tx.add(Order(order_id="1"))
        await one.tx.commit()
        one.tx.add(Order(order_id="2"))
        await one.settle_async(ANSWER)
        assert (backend.orders, backend.claims) == (["1", "2"], 1)

    run(backend, work)


def test_a_task_that_commits_the_connection_itself_has_committed_nothing(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        one = await async_granted(store)
        one.tx.add(Order(order_id="1"))
        connection = await one.tx.connection()
        assert isinstance(connection, AsyncConnection)
        with pytest.raises(TransactionMisuse, match="COMMIT is refused"):
            await connection.commit()
        with pytest.raises(TransactionBroken):
            await one.settle_async(ANSWER)
        assert (backend.orders, backend.claims) == ([], 0)

    run(backend, work)


def test_a_task_that_is_cancelled_while_it_waits_for_a_claim_has_taken_nothing(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        held = await async_granted(store)
        other = AsyncSQLAlchemyStore(store._source)

        async def wait() -> None:
            # In another context: this task is inside of nothing.
            await other.take_async(claim(), LONG_S)

        waiting = asyncio.create_task(wait())
        for _ in range(200):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.tx.add(Order(order_id="1"))
        await held.settle_async(ANSWER)
        assert isinstance(await other.take_async(claim(), LONG_S), Record)
        again = await async_granted(other, "another")
        await again.abandon_async()

    run(backend, work)


def test_a_task_that_is_cancelled_at_commit_is_told_how_it_ended_and_cancelled_then(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        settled: list[bool] = []

        async def order() -> None:
            one = await async_granted(store)
            one.tx.add(Order(order_id="1"))
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            await one.settle_async(ANSWER)
            settled.append(True)
            await asyncio.sleep(0)
            settled.append(False)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(order())
        assert (settled, backend.orders, backend.claims) == ([True], ["1"], 1)

    run(backend, work)


def test_nested_operations_of_a_task_join_its_transaction_and_another_tasks_may_not(backend: Backend) -> None:
    async def work(store: AsyncSQLAlchemyStore) -> None:
        outer = await async_granted(store, "outer")
        inner = await async_granted(store, "inner")
        inner.tx.add(Order(order_id="inner"))
        await inner.settle_async(ANSWER)
        with pytest.raises(GuardError, match="from another task"):
            await asyncio.create_task(store.take_async(claim("other"), LONG_S))
        await outer.settle_async(ANSWER)
        assert not store.is_inside_async()
        assert (backend.orders, backend.claims) == (["inner"], 2)

    run(backend, work)
