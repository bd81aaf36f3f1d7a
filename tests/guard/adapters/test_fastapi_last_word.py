"""When FastAPI has returned before COMMIT is awaited, and when it must not have."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from threading import Event
from typing import Any
from weakref import ref

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.background import BackgroundTask

from tests.guard.adapters.asgi_client import Exchange
from tests.guard.adapters.fastapi_shop import KEY, NOW, OrderIn, Shop
from tests.guard.adapters.service import Reply
from tests.guard.shop import HEX, SECRET
from tocsin.guard import Transaction
from tocsin.guard.stores.sqlite import _group
from tocsin.guard.stores.sqlite._writer import Writer
from tocsin.signing import Message, sign

LONG_S = 30.0


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes here, a group is not closed for its age."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)


class Commits:
    """Keeps the first COMMIT waiting, and tells of each."""

    def __init__(self, patch: pytest.MonkeyPatch, see: Callable[[], object]) -> None:
        self.seen: list[object] = []
        self.entered, self.leave = Event(), Event()
        real = Writer.commit

        def commit(writer: Writer) -> None:
            self.seen.append(see())
            self.entered.set()
            assert self.leave.wait(LONG_S)
            real(writer)

        patch.setattr(Writer, "commit", commit)


def call(shop: Shop, order_id: str) -> Any:
    """A signed order, not sent yet."""
    body = json.dumps({"order_id": order_id}).encode()
    signed = sign(Message("POST", "/order", (), body), HEX, SECRET, now=NOW)
    return Exchange("/order", (("Content-Type", "application/json"), *signed), body).call(shop.app)


def plain(shop: Shop) -> list[ref[OrderIn]]:
    """An endpoint that nothing follows; gives what FastAPI holds for each request."""
    held: list[ref[OrderIn]] = []

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(body: OrderIn, tx: Transaction) -> Any:
        held.append(ref(body))
        if body.order_id == "breaks":
            tx.executemany("INSERT OR ROLLBACK INTO items VALUES (?)", [(1,), (1,)])
        return shop.write(tx, body.order_id)

    return held


def test_nothing_of_the_framework_is_held_while_the_commit_is_awaited(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = plain(shop)
    commits = Commits(monkeypatch, lambda: held[-1]() is None)
    commits.leave.set()
    assert shop.post().status == 200
    assert commits.seen == [True]


def test_no_byte_leaves_before_the_commit_that_follows_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(shop)
    commits = Commits(monkeypatch, lambda: None)

    async def go() -> Reply:
        sent = asyncio.create_task(call(shop, "17"))
        await asyncio.to_thread(commits.entered.wait, LONG_S)
        assert not sent.done()
        assert shop.orders == []
        commits.leave.set()
        reply: Reply = await sent
        return reply

    assert shop.loop.run(go()).status == 200
    assert shop.orders == ["17"]


def test_a_task_that_is_cancelled_then_commits_and_its_retry_gets_the_answer(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain(shop)
    commits = Commits(monkeypatch, lambda: None)

    async def go() -> Reply:
        sent = asyncio.create_task(call(shop, "17"))
        await asyncio.to_thread(commits.entered.wait, LONG_S)
        sent.cancel()
        await asyncio.sleep(0)
        commits.leave.set()
        await asyncio.wait([sent])
        assert sent.cancelled()
        reply: Reply = await call(shop, "17")
        return reply

    assert shop.loop.run(go()).is_replay
    assert (shop.orders, shop.runs) == (["17"], 1)


def test_who_was_in_a_transaction_that_another_one_broke_runs_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain(shop)
    assert shop.post({"order_id": "opens the file"}).status == 200
    commits = Commits(monkeypatch, lambda: None)

    async def go() -> list[Any]:
        tasks = [asyncio.create_task(call(shop, name)) for name in ("first", "a", "breaks", "b")]
        await asyncio.to_thread(commits.entered.wait, LONG_S)
        # They wait until the first one is committed, and are in one transaction then.
        commits.leave.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, one, broken, other = shop.loop.run(go())
    assert [reply.status for reply in (first, one, other)] == [200] * 3
    assert "UNIQUE" in str(broken)
    assert sorted(shop.orders) == ["a", "b", "first", "opens the file"]
    # "a" twice; "b" found a transaction that was over already.
    assert shop.runs == 5


class GoesOn(JSONResponse):
    """A response that does something after its end."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(scope, receive, send)
        after(scope["app"].state.shop)


committed: list[list[str]] = []


def after(shop: Shop) -> None:
    """What is committed by the time that something follows the answer."""
    committed.append(shop.orders)


def with_a_background_task(shop: Shop) -> Any:
    def order(body: OrderIn, tx: Transaction, tasks: BackgroundTasks) -> Any:
        tasks.add_task(after, shop)
        return shop.write(tx, body.order_id)

    return order


def with_a_response_that_has_one(shop: Shop) -> Any:
    def order(body: OrderIn, tx: Transaction) -> Any:
        shop.write(tx, body.order_id)
        return Response(background=BackgroundTask(after, shop))

    return order


def with_a_response_that_goes_on(shop: Shop) -> Any:
    def order(body: OrderIn, tx: Transaction) -> Any:
        return GoesOn(shop.write(tx, body.order_id))

    return order


def with_a_dependency_that_ends_after_it(shop: Shop) -> Any:
    async def ends() -> AsyncIterator[int]:
        yield 1
        after(shop)

    def order(body: OrderIn, tx: Transaction, _: int = Depends(ends)) -> Any:
        return shop.write(tx, body.order_id)

    return order


def with_one_in_the_place_of_another(shop: Shop) -> Any:
    async def ends() -> AsyncIterator[int]:
        yield 1
        after(shop)

    def harmless() -> int:
        return 1

    def order(body: OrderIn, tx: Transaction, _: int = Depends(harmless)) -> Any:
        return shop.write(tx, body.order_id)

    shop.app.dependency_overrides[harmless] = ends
    return order


def with_nothing_of_its_own(shop: Shop) -> Any:
    def order(body: OrderIn, tx: Transaction) -> Any:
        return shop.write(tx, body.order_id)

    return order


class RouteThatGoesOn(APIRoute):
    """What a class of routes of the application's own does with a response."""

    def get_route_handler(self) -> Any:
        handler = super().get_route_handler()

        async def with_background(request: Any) -> Any:
            response = await handler(request)
            response.background = BackgroundTask(after, request.app.state.shop)
            return response

        return with_background


def behind_a_router_that_adds_a_dependency(shop: Shop) -> Any:
    async def ends() -> AsyncIterator[int]:
        yield 1
        after(shop)

    return APIRouter(dependencies=[Depends(ends)])


def behind_a_route_class_that_goes_on(_shop: Shop) -> Any:
    return APIRouter(route_class=RouteThatGoesOn)


@pytest.mark.parametrize("kind", ["async def", "def"])
@pytest.mark.parametrize(
    ("made", "router"),
    [
        (with_a_background_task, None),
        (with_a_response_that_has_one, None),
        (with_a_response_that_goes_on, None),
        (with_a_dependency_that_ends_after_it, None),
        (with_one_in_the_place_of_another, None),
        (with_nothing_of_its_own, behind_a_router_that_adds_a_dependency),
        (with_nothing_of_its_own, behind_a_route_class_that_goes_on),
    ],
)
def test_what_follows_an_answer_follows_its_commit(shop: Shop, made: Any, router: Any, kind: str) -> None:
    committed.clear()
    shop.app.state.shop = shop
    order = made(shop)
    if kind == "async def":
        order = awaited(order)
    routes: Any = shop.app if router is None else router(shop)
    routes.post("/order")(shop.guard.fastapi(key=KEY)(order))
    if router is not None:
        shop.app.include_router(routes)
    assert shop.post().status == 200
    assert shop.post().is_replay
    assert committed == [["17"]]


def awaited(order: Any) -> Any:
    """The same, `async def`."""

    async def asynchronous(**arguments: Any) -> Any:
        return order(**arguments)

    asynchronous.__signature__ = inspect.signature(order)  # type: ignore[attr-defined]
    return asynchronous


def test_an_error_that_is_rendered_with_a_background_task_is_followed_by_it(shop: Shop) -> None:
    committed.clear()

    @shop.app.exception_handler(HTTPException)
    async def rendered(_request: Any, error: Any) -> Response:
        return Response(status_code=error.status_code, background=BackgroundTask(after, shop))

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY, remember=range(200, 500))
    async def order(body: OrderIn, tx: Transaction) -> Any:
        shop.write(tx, body.order_id)
        raise HTTPException(404)

    assert shop.post().status == 404
    assert committed == [[]]
    assert shop.operations == ["/order"]
