"""The services that die: Flask and FastAPI, on SQLite and PostgreSQL, with a fuse at every step of a request."""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from fastapi import FastAPI
from flask import Flask
from pydantic import BaseModel

from bench.crashing.steps import Fuse, Step
from tocsin.guard import Guard, Signed, Transaction, _flow, json_pointer
from tocsin.guard._errors import StoreError
from tocsin.guard._store import AsyncGranted, Claim, Granted
from tocsin.guard.stores.postgres import AsyncPostgresStore, AsyncTransaction, PostgresStore, _claims
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.stores.sqlite._group import Group
from tocsin.signing import KeyRing, Secret, preset

SECRET_OCTETS = b"a secret of the bench, 32 octets"
SECRET = Secret(SECRET_OCTETS)
SCHEME = preset("hex-sha256-body")
KEY = json_pointer("/order_id")
# What a handler does besides writing. Meanwhile others come, and share its COMMIT where the store can do that.
WORK_S = 0.001


@dataclass(frozen=True, slots=True)
class Plan:
    """What serves, and where it writes.

    Args:
        adapter: "flask", on gunicorn with threads, "fastapi", on uvicorn, or "actix", a program of its own.
        store: "sqlite" or "postgres".
        database: the file, or the connection string.
        fails: which share of the handler's runs raises, after its write.
        twin: which defence is taken away; "" for none, a name of TWINS, or "elsewhere": the handler of a Flask or an
            Actix service on PostgreSQL writes through a connection of its own.
        program: what Actix is started with: lab/actix/services/src/bin/crashing.rs, built.
    """

    adapter: str
    store: str
    database: str
    fails: float = 0.0
    twin: str = ""
    program: str = ""

    @property
    def insert(self) -> str:
        """What the handler says."""
        return f"INSERT INTO orders (order_id) VALUES ({'?' if self.store == 'sqlite' else '%s'})"


fuse = Fuse()


class DyingSQLite(SQLiteStore):
    """Has a step after the claim."""

    def take(self, claim: Claim, wait_s: float) -> Any:  # noqa: ANN401  as the store has it
        return _granted(super().take(claim, wait_s))

    async def take_async(self, claim: Claim, wait_s: float) -> Any:  # noqa: ANN401  likewise
        return _granted(await super().take_async(claim, wait_s))


class DyingPostgres(PostgresStore):
    """Likewise."""

    def take(self, claim: Claim, wait_s: float) -> Any:  # noqa: ANN401  likewise
        return _granted(super().take(claim, wait_s))


class DyingAsyncPostgres(AsyncPostgresStore):
    """Likewise."""

    async def take_async(self, claim: Claim, wait_s: float) -> Any:  # noqa: ANN401  likewise
        return _granted(await super().take_async(claim, wait_s))


def _granted(taken: object) -> object:
    if isinstance(taken, Granted | AsyncGranted):
        fuse.members += 1
        fuse.reached(Step.CLAIM)
    return taken


def lay_fuse() -> None:
    """Put the steps where the guard has no class to be subclassed for them."""
    verify, commit, settling = _flow.verify, Group.commit, _claims.settling  # type: ignore[attr-defined]

    def verifies(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  whatever it takes and returns
        fuse.reached(Step.VERIFICATION)
        return verify(*arguments, **options)

    def commits(group: Group) -> StoreError | None:
        fuse.count_group()
        fuse.reached(Step.BEFORE_COMMIT)
        fuse.reached(Step.COMMIT)
        error = commit(group)
        fuse.reached(Step.AFTER_COMMIT)
        return error

    def settles(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  likewise
        fuse.reached(Step.BEFORE_COMMIT)
        fuse.reached(Step.COMMIT)
        tag = yield from settling(*arguments, **options)
        fuse.reached(Step.AFTER_COMMIT)
        return tag

    _flow.verify = verifies  # type: ignore[attr-defined]
    Group.commit = commits  # type: ignore[method-assign, assignment]
    _claims.settling = settles


class OrderIn(BaseModel):
    """What is ordered."""

    order_id: str


def handled(plan: Plan) -> dict[str, str]:
    """The handler's answer, no two of them the same; or it fails."""
    fuse.reached(Step.AFTER_WRITE)
    if random.random() < plan.fails:
        raise RuntimeError("as the plan has it")
    return {"receipt": secrets.token_hex(8)}


def flask_app(plan: Plan) -> Flask:
    """A Flask service on the blocking driver."""
    store = DyingSQLite(plan.database) if plan.store == "sqlite" else DyingPostgres(plan.database)
    guard: Guard[Any] = Guard(SCHEME, KeyRing.of(SECRET), store)
    app = Flask("crashing")

    @app.post("/order")
    @guard.flask(key=KEY)
    def order(signed: Signed, tx: Transaction) -> tuple[dict[str, str], int]:
        fuse.reached(Step.BEFORE_WRITE)
        order_id = json.loads(signed.body)["order_id"]
        if plan.twin == "elsewhere":
            with psycopg.connect(plan.database) as connection:
                connection.execute("INSERT INTO orders (order_id) VALUES (%s)", (order_id,))
        else:
            tx.execute(plan.insert, (order_id,))
        time.sleep(WORK_S)
        return handled(plan), 201

    return app


def fastapi_app(plan: Plan) -> FastAPI:
    """A FastAPI service on the async driver."""
    store = DyingSQLite(plan.database) if plan.store == "sqlite" else DyingAsyncPostgres(plan.database)
    guard: Guard[Any] = Guard(SCHEME, KeyRing.of(SECRET), store)
    app = FastAPI()

    if plan.store == "sqlite":

        @app.post("/order", status_code=201)
        @guard.fastapi(key=KEY)
        async def order(body: OrderIn, tx: Transaction) -> dict[str, str]:
            fuse.reached(Step.BEFORE_WRITE)
            tx.execute(plan.insert, (body.order_id,))
            await asyncio.sleep(WORK_S)
            return handled(plan)
    else:

        @app.post("/order", status_code=201)
        @guard.fastapi(key=KEY)
        async def order_async(body: OrderIn, tx: AsyncTransaction) -> dict[str, str]:
            fuse.reached(Step.BEFORE_WRITE)
            await tx.execute(plan.insert, (body.order_id,))
            await asyncio.sleep(WORK_S)
            return handled(plan)

    return app


class HalvedWSGI:
    """Sends an answer in two parts, with a step in between."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: Any, start_response: Any) -> Iterator[bytes]:  # noqa: ANN401  WSGI
        parts: Any = self._app(environ, start_response)
        with closing(parts):
            body = b"".join(parts)
        yield body[:1]
        fuse.reached(Step.ANSWER)
        yield body[1:]


class HalvedASGI:
    """Likewise."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI
        async def send_halves(event: Any) -> None:  # noqa: ANN401  likewise
            body = event.get("body", b"")
            if event["type"] == "http.response.body" and not event.get("more_body"):
                await send({**event, "body": body[:1], "more_body": True})
                fuse.reached(Step.ANSWER)
                body = body[1:]
            await send({**event, "body": body} if "body" in event else event)

        await self._app(scope, receive, send_halves)
