"""A guarded FastAPI service, as ASGI servers run it in the tests: the same order, once for each adapter."""

import json
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.adapters.asgi import SIGNED, TX
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["ORDERS_DB"])
KEY = json_pointer("/order_id")

store = SQLiteStore(DATABASE)
guard = Guard(
    preset("hex-sha256-body"), KeyRing.of(Secret.from_env("ORDERS_SECRET")), store, wait_s=20, shared_secret=True
)

with closing(sqlite3.connect(DATABASE, isolation_level=None, timeout=10)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT NOT NULL)")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    os.write(2, b"Ready to take orders\n")
    yield


async def through(request: Any, call_next: Any) -> Response:
    response: Response = await call_next(request)
    return response


app = FastAPI(lifespan=lifespan, middleware=[Middleware(BaseHTTPMiddleware, dispatch=through)])


class OrderIn(BaseModel):
    order_id: str


def write(tx: Transaction, order_id: str) -> dict[str, Any]:
    tx.execute("INSERT INTO orders VALUES (?)", (order_id,))
    return {"receipt": secrets.token_hex(8), "worker": os.getpid()}


@app.post("/order", status_code=201)
@guard.fastapi(key=KEY)
async def order(tx: Transaction, body: OrderIn) -> dict[str, Any]:
    return write(tx, body.order_id)


@app.post("/order/on-a-thread", status_code=201)
@guard.fastapi(key=KEY)
def order_on_a_thread(tx: Transaction, body: OrderIn) -> dict[str, Any]:
    return write(tx, body.order_id)


@guard.asgi(name="/order/plain", key=KEY)
async def order_plain(scope: Any, receive: Any, send: Any) -> None:
    del receive
    signed: Signed = scope[SIGNED]
    body = json.dumps(write(scope[TX], json.loads(signed.body)["order_id"])).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app.router.routes.append(Route("/order/plain", order_plain, methods=["POST"]))


@guard.starlette(key=KEY)
async def order_starlette(_request: Request, signed: Signed, tx: Transaction) -> Response:
    return JSONResponse(write(tx, json.loads(signed.body)["order_id"]), 201)


app.router.routes.append(Route("/order/starlette", order_starlette, methods=["POST"]))
