"""Middlewares around a guarded endpoint of FastAPI."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import pytest
from fastapi import Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.base import BaseHTTPMiddleware

from tests.guard.adapters.fastapi_shop import (
    KEY,
    Shop,
)
from tocsin.guard import Transaction


async def passes(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["X-Middleware"] = "1"
    return response


async def reads_ahead(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    await request.body()
    return await call_next(request)


@pytest.mark.parametrize(
    ("middleware", "options"),
    [
        (BaseHTTPMiddleware, {"dispatch": passes}),
        (BaseHTTPMiddleware, {"dispatch": reads_ahead}),
        (GZipMiddleware, {"minimum_size": 1}),
        (CORSMiddleware, {"allow_origins": ["*"]}),
    ],
    ids=["base", "base that reads the body", "gzip", "CORS"],
)
def test_a_middleware_around_it_does_not_turn_the_guard_off(sells: Shop, middleware: Any, options: Any) -> None:
    """Elsewhere it makes every answer a stream, which is not remembered: 2 effects."""
    sells.app.add_middleware(middleware, **options)
    headers = (("Accept-Encoding", "gzip"), ("Origin", "https://shop.example"))
    first, again = sells.post(headers=headers), sells.post(headers=headers)
    assert (first.status, again.is_replay) == (201, True)
    assert again.body == first.body
    assert again.field("Content-Encoding") == first.field("Content-Encoding")
    assert sells.orders == ["17"]


def test_a_middleware_that_cancels_the_request_leaves_nothing(sells: Shop) -> None:
    """Its scope goes on cancelling until the endpoint has gone: the roll-back has to stand that."""
    scopes: list[anyio.CancelScope] = []

    class Impatient:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            with anyio.CancelScope() as cancelling:
                scopes.append(cancelling)
                await self.app(scope, receive, send)
            if cancelling.cancelled_caught:
                await Response(status_code=504)(scope, receive, send)

    async def cancelled_while_the_endpoint_runs(tx: Transaction) -> Any:
        sells.write(tx)
        if sells.runs == 1:
            scopes[-1].cancel()
            await asyncio.Event().wait()
        return "done"

    def cancelled_from_a_thread(tx: Transaction) -> Any:
        sells.write(tx)
        if sells.runs == 2:
            anyio.from_thread.run_sync(scopes[-1].cancel)
        return "done"

    sells.app.add_middleware(Impatient)
    for path, handler in (("/a", cancelled_while_the_endpoint_runs), ("/b", cancelled_from_a_thread)):
        sells.runs = len(sells.orders)
        sells.app.post(path)(sells.guard.fastapi(key=KEY)(handler))
        assert sells.post(target=path).status == 504
        assert (len(sells.orders), sells.guard._in_flight._entries) == (path == "/b", {})
        assert sells.post(target=path).status == 200
    assert sells.orders == ["17", "17"]
