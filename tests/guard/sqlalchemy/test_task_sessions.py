"""FastAPI with the application's own AsyncSession: one commit with claim and answer, whatever a handler does."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from tests.guard.adapters.asgi_client import Loop
from tests.guard.sqlalchemy.backends import ORDER, Backend, Order
from tests.guard.sqlalchemy.shop import LONG_S, order_id_of
from tests.guard.sqlalchemy.task_shop import TaskShop, write_order
from tests.guard.sqlalchemy.test_commit import each_server
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed
from tocsin.guard._store import AsyncGranted
from tocsin.guard.stores.sqlalchemy import AsyncSQLAlchemyStore
from tocsin.guard.testing import ANSWER, claim


@pytest.fixture
def task_shop(backend: Backend, task_loop: Loop) -> Iterator[TaskShop]:
    made = TaskShop(backend, task_loop, backend.async_engine(), guard={"wait_s": 30})
    yield made
    made.close()


def nothing_is_kept(shop: TaskShop) -> None:
    assert (shop.backend.orders, shop.backend.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status == 201
    assert shop.backend.orders == ["17"]


def test_32_identical_requests_at_once_have_one_effect_and_identical_answers(task_shop: TaskShop) -> None:
    answers = together(32, task_shop.order)
    assert {answer.stored() for answer in answers} == {answers[0].stored()}
    assert sum(answer.is_replay for answer in answers) == 31
    assert (task_shop.runs, task_shop.backend.orders) == (1, ["17"])


def test_different_requests_at_once_are_all_applied(task_shop: TaskShop) -> None:
    numbers = iter(range(24))
    assert {answer.status for answer in together(24, lambda: task_shop.order(str(next(numbers))))} == {201}
    assert sorted(map(int, task_shop.backend.orders)) == list(range(24))


def test_a_sessions_own_commit_commits_nothing_before_the_answer(task_shop: TaskShop) -> None:
    async def commits(signed: Signed, session: AsyncSession) -> Any:
        session.add(Order(order_id=order_id_of(signed)))
        await session.commit()
        # The write lock of SQLite lets others read.
        assert await asyncio.to_thread(lambda: task_shop.backend.orders) == []
        assert list(await session.scalars(select(Order.order_id))) == ["17"]
        raise HTTPException(503)

    task_shop.handler = commits
    assert task_shop.order().status == 503
    nothing_is_kept(task_shop)


def test_a_raised_http_error_below_500_undoes_the_writes_and_is_remembered(task_shop: TaskShop) -> None:
    async def refuses(signed: Signed, session: AsyncSession) -> Any:
        await write_order(signed, session)
        await session.flush()
        raise HTTPException(404, "no such item")

    task_shop.handler = refuses
    first, again = task_shop.order(), task_shop.order()
    assert (first.status, again.is_replay, again.body) == (404, True, first.body)
    assert (task_shop.runs, task_shop.backend.orders, task_shop.backend.claims) == (1, [], 1)


def test_what_the_session_cannot_write_in_the_end_is_500_and_nothing_is_kept(task_shop: TaskShop) -> None:
    """It is first tried when the answer is about to be stored."""

    async def twice(signed: Signed, session: AsyncSession) -> Any:
        session.add_all([Order(order_id=order_id_of(signed)), Order(order_id=order_id_of(signed))])
        return JSONResponse({}, 201)

    task_shop.handler = twice
    assert task_shop.order().status == 500
    nothing_is_kept(task_shop)


def test_begin_nested_undoes_a_part(task_shop: TaskShop) -> None:
    async def tries(signed: Signed, session: AsyncSession) -> Any:
        answer = await write_order(signed, session)
        await session.flush()
        with pytest.raises(IntegrityError):
            async with session.begin_nested():
                await session.execute(ORDER, {"order_id": order_id_of(signed)})
        return answer

    task_shop.handler = tries
    assert (task_shop.order().status, task_shop.backend.orders) == (201, ["17"])


# On SQLite it would wait for the guard's own lock.
@each_server
def test_a_session_that_the_application_opens_itself_is_not_covered(task_shop: TaskShop, backend: Backend) -> None:
    """It is another connection; that is why a handler takes tx."""

    async def beside(_signed: Signed, _session: AsyncSession) -> Any:
        async with task_shop.sessions() as own, own.begin():
            own.add(Order(order_id="beside"))
        raise HTTPException(503)

    task_shop.handler = beside
    assert task_shop.order().status == 503
    assert (backend.orders, backend.claims) == (["beside"], 0)


def test_a_request_that_is_cancelled_while_its_handler_runs_leaves_nothing(task_shop: TaskShop) -> None:
    """As a server does it when it shuts down; a retry runs."""

    async def cancelled() -> bool:
        inside = asyncio.Event()

        async def stands(signed: Signed, session: AsyncSession) -> Any:
            await write_order(signed, session)
            await session.flush()
            inside.set()
            await asyncio.Event().wait()

        task_shop.handler = stands
        sent = asyncio.ensure_future(task_shop.exchange().call(task_shop.app))
        await inside.wait()
        sent.cancel()
        await asyncio.wait([sent])
        return sent.cancelled()

    assert task_shop.loop.run(cancelled())
    nothing_is_kept(task_shop)


class TenantSession(AsyncSession):
    """As applications have it: no tenant, no session."""

    tenant = ""

    def __init__(self, **options: Any) -> None:
        if not TenantSession.tenant:
            raise LookupError("no tenant")
        super().__init__(**options)


def test_a_session_that_cannot_be_made_leaves_no_claim_and_no_place(
    backend: Backend, task_loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one place: with a request that kept it, or its transaction, every later one would be 503."""
    engine = backend.async_engine()
    sessions = async_sessionmaker(engine, class_=TenantSession)
    store = AsyncSQLAlchemyStore(sessions, max_connections=1)

    async def taken_twice() -> None:
        with pytest.raises(LookupError, match="no tenant"):
            await store.take_async(claim("order-1"), LONG_S)
        assert not store.is_inside_async()
        monkeypatch.setattr(TenantSession, "tenant", "first")
        unit = await store.take_async(claim("order-1"), LONG_S)
        assert isinstance(unit, AsyncGranted)
        unit.tx.add(Order(order_id="17"))
        await unit.settle_async(ANSWER)
        await engine.dispose()

    task_loop.run(taken_twice())
    assert (backend.orders, backend.claims) == (["17"], 1)
