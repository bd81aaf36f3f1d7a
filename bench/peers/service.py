"""POST /order behind one of today's libraries, each set up as its own documentation says for several workers.

PEER names the library. This file runs in the environment of the peers.
"""

# ruff: noqa: PLC0415, ANN401  one library in a process; what the libraries hand over is theirs
# None of them is installed where types are checked.
# mypy: disable-error-code="import-not-found, untyped-decorator"

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware

from bench.peers import effect

App: TypeAlias = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
Start: TypeAlias = Callable[[], Awaitable[object]]
# Puts the library around a service.
Guard: TypeAlias = Callable[[FastAPI], FastAPI]

REDIS = os.environ.get("REDIS", "")
# How long the library may hold a key for a process that has died; 0: what its documentation says.
LEASE_S = int(os.environ.get("LEASE_S", "0"))


def connect() -> sqlite3.Connection:
    return sqlite3.connect(effect.EFFECTS, timeout=10, isolation_level=None)


def write(order_id: str) -> None:
    with closing(connect()) as db:
        db.execute(effect.INSERT, (order_id,))


def response(done: effect.Done) -> Response:
    if done.status == 204:
        return Response(status_code=204, headers=done.headers)
    return JSONResponse(done.document, done.status, done.headers)


def endpoint() -> FastAPI:
    """The service without any library."""
    made = FastAPI()

    @made.post("/order")
    async def order(request: Request) -> Response:
        do = request.headers.get("x-do", "")
        done = effect.perform(await request.body(), do, write)
        await asyncio.sleep(effect.PAUSE_S.get(do, 0))
        return response(done)

    return made


def wrapped() -> FastAPI:
    """The same with the most usual kind of middleware between the library and the endpoint."""
    made = endpoint()

    async def passes_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    made.add_middleware(BaseHTTPMiddleware, dispatch=passes_on)
    return made


def middleware(kind: Any, **options: Any) -> Guard:
    """A library that comes as a middleware, added as its documentation adds it."""

    def guard(app: FastAPI) -> FastAPI:
        app.add_middleware(kind, **options)
        return app

    return guard


def sender(request: Any) -> str:
    """For libraries whose documentation asks who is calling."""
    return str(request.headers.get("authorization", "nobody"))


def fastapi_idempotency() -> tuple[Guard, Start]:
    from fastapi_idempotency import IdempotencyMiddleware
    from fastapi_idempotency.stores.tortoise import TortoiseStore
    from tortoise import Tortoise

    async def start() -> None:
        modules = {"models": ["fastapi_idempotency.stores.tortoise"]}
        await Tortoise.init(db_url=f"sqlite://{effect.DATA}/store.db", modules=modules, _enable_global_fallback=True)
        await Tortoise.generate_schemas(safe=True)

    lease = {"lease_seconds": LEASE_S, "heartbeat_seconds": LEASE_S / 2} if LEASE_S else {}
    return middleware(IdempotencyMiddleware, store=TortoiseStore(), scope=sender, **lease), start


def fastapi_idempotency_key() -> tuple[Guard, Start]:
    from fastapi_idempotency_key import IdempotencyMiddleware, SQLiteBackend

    backend = SQLiteBackend(effect.DATA / "store.db")
    return middleware(IdempotencyMiddleware, backend=backend, default_ttl=LEASE_S or 86_400), nothing


def fastidempotent() -> tuple[Guard, Start]:
    from fastidempotent import IdempotencyConfig, IdempotencyMiddleware, SQLiteBackend

    backend = SQLiteBackend(url=f"sqlite+aiosqlite:///{effect.DATA}/store.db")
    config = IdempotencyConfig(lock_timeout=LEASE_S or 30)
    return middleware(IdempotencyMiddleware, backend=backend, config=config), backend.init


def idemkit() -> tuple[Guard, Start]:
    from idemkit import HttpConfig, IdempotencyMiddleware, RedisBackend

    backend = RedisBackend.from_url(REDIS)
    config = HttpConfig(scope=sender, lease_ttl_seconds=LEASE_S or None)
    return middleware(IdempotencyMiddleware, backend=backend, config=config), nothing


def ichido() -> tuple[Guard, Start]:
    import redis.asyncio
    from ichido import IchidoConfig, IchidoMiddleware, RedisIdempotencyStore

    ttl_s = LEASE_S or 86_400
    store = RedisIdempotencyStore(redis_client=redis.asyncio.from_url(REDIS, decode_responses=True), ttl=ttl_s)
    return middleware(IchidoMiddleware, store=store, config=IchidoConfig(ttl_seconds=ttl_s)), nothing


def asgi_idempotency_header() -> tuple[Guard, Start]:
    import redis.asyncio
    from idempotency_header_middleware import IdempotencyHeaderMiddleware
    from idempotency_header_middleware.backends import RedisBackend

    ttl_s = LEASE_S or 86_400
    backend = RedisBackend(redis=redis.asyncio.from_url(REDIS, decode_responses=True), expiry=ttl_s)
    return middleware(IdempotencyHeaderMiddleware, backend=backend), nothing


def aws_lambda_powertools() -> tuple[Guard, Start]:
    """A decorator for functions; the endpoint gives its errors the statuses that services give them."""
    os.environ["POWERTOOLS_DEV"] = "1"
    import redis
    from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, exceptions, idempotent_function
    from aws_lambda_powertools.utilities.idempotency.persistence.cache import CachePersistenceLayer

    config = IdempotencyConfig(event_key_jmespath="key", expires_after_seconds=LEASE_S or 3600)
    store = CachePersistenceLayer(client=redis.Redis.from_url(REDIS, decode_responses=True))

    @idempotent_function(data_keyword_argument="sent", persistence_store=store, config=config)
    def apply(sent: dict[str, str]) -> dict[str, Any]:
        return function(sent)

    refusals = {
        exceptions.IdempotencyAlreadyInProgressError: 409,
        exceptions.IdempotencyValidationError: 422,
    }
    return lambda _: around_function(apply, refusals), nothing


def exactly_once() -> tuple[Guard, Start]:
    """A decorator for functions, likewise."""
    from exactly_once import KeyReuseError, QuarantinedError, Store, once

    store = Store.sqlite(str(effect.DATA / "store.db"))

    @once(store, key=lambda sent: sent["key"])
    def apply(sent: dict[str, str]) -> dict[str, Any]:
        return function(sent)

    return lambda _: around_function(apply, {QuarantinedError: 409, KeyReuseError: 422}), nothing


def unguarded() -> tuple[Guard, Start]:
    """No library at all: what the cases have to notice."""
    return lambda app: app, nothing


async def nothing() -> None:
    """For libraries that prepare themselves."""


def function(sent: dict[str, str]) -> dict[str, Any]:
    """The endpoint as a function from and to plain data."""
    import time

    done = effect.perform(sent["body"].encode(), sent["do"], write)
    time.sleep(effect.PAUSE_S.get(sent["do"], 0))
    return {"status": done.status, "document": done.document, "headers": done.headers}


def around_function(apply: Callable[..., dict[str, Any]], refusals: dict[type[Exception], int]) -> FastAPI:
    """A service whose endpoint calls the function."""
    made = FastAPI()

    @made.post("/order")
    async def order(request: Request) -> Response:
        body = (await request.body()).decode()
        sent = {"key": request.headers.get("idempotency-key", ""), "body": body, "do": request.headers.get("x-do", "")}
        try:
            done = await run_in_threadpool(apply, sent=sent)
        except tuple(refusals) as error:
            return Response(str(error), refusals[type(error)])
        return response(effect.Done(**done))

    return made


PEERS = {
    made.__name__: made
    for made in (
        fastapi_idempotency,
        fastapi_idempotency_key,
        fastidempotent,
        idemkit,
        ichido,
        asgi_idempotency_header,
        aws_lambda_powertools,
        exactly_once,
        unguarded,
    )
}


def application() -> App:
    """What the server serves: the library's middleware around the endpoint, and around the wrapped one."""
    with closing(connect()) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute(effect.SCHEMA)
    guard, start = PEERS[os.environ["PEER"]]()
    plain, middle = guard(endpoint()), guard(wrapped())

    async def serve(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["path"] == "/wrapped/order":
            await middle({**scope, "path": "/order", "raw_path": b"/order"}, receive, send)
        else:
            await plain(scope, receive, send)

    return serve


app = application()
