"""POST /order behind this guard, on FastAPI or Flask: the same effect as behind the peers, through `tx`."""

# ruff: noqa: PLC0415, ANN401  one framework in a process; what the frameworks hand over is theirs

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from typing import Any

from bench.peers import effect
from tocsin.guard import Guard, Signed, Transaction
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyEntry, KeyRing, Secret, preset

KEYS = KeyRing(
    [
        KeyEntry(Secret(b"a secret of alice, 32 octets long", key_id="alice"), "alice"),
        KeyEntry(Secret(b"a secret of bob, also 32 octets..", key_id="bob"), "bob"),
    ]
)
guard = Guard(preset("tocsin-v1"), KEYS, SQLiteStore(effect.EFFECTS), shared_secret=True)
with closing(sqlite3.connect(effect.EFFECTS, isolation_level=None, timeout=10)) as db:
    db.execute(effect.SCHEMA)


def on_fastapi() -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response
    from starlette.middleware.base import BaseHTTPMiddleware

    def service(path: str) -> FastAPI:
        made = FastAPI()

        @made.post(path)
        @guard.fastapi(name=path)
        async def order(request: Request, signed: Signed, tx: Transaction) -> Response:
            do = request.headers.get("x-do", "")
            done = effect.perform(signed.body, do, lambda order_id: tx.execute(effect.INSERT, (order_id,)))
            await asyncio.sleep(effect.PAUSE_S.get(do, 0))
            if done.status == 204:
                return Response(status_code=204, headers=done.headers)
            return JSONResponse(done.document, done.status, done.headers)

        return made

    async def passes_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    plain, middle = service("/order"), service("/wrapped/order")
    middle.add_middleware(BaseHTTPMiddleware, dispatch=passes_on)
    plain.mount("", middle)
    return plain


def on_flask() -> Any:
    from flask import Flask, request

    made = Flask("ours")

    @guard.flask(name="/order")
    def order(signed: Signed, tx: Transaction) -> Any:
        do = request.headers.get("X-Do", "")
        done = effect.perform(signed.body, do, lambda order_id: tx.execute(effect.INSERT, (order_id,)))
        time.sleep(effect.PAUSE_S.get(do, 0))
        return done.document, done.status, done.headers

    for path in ("/order", "/wrapped/order"):
        made.add_url_rule(path, path, order, methods=["POST"])
    return made


app = {"tocsin on FastAPI": on_fastapi, "tocsin on Flask": on_flask}[os.environ["PEER"]]()
