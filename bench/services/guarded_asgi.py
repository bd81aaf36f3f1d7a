"""The order endpoint behind guard.asgi, without a framework."""

import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tocsin.guard import Guard, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
keys = KeyRing.of(Secret.from_env("LAB_SECRET"))
guard = Guard(preset("hex-sha256-body"), keys, SQLiteStore(DATABASE))

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS = [(b"content-type", b"application/json")]

with closing(sqlite3.connect(DATABASE, timeout=30)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")


@guard.asgi(name="/order", key=json_pointer("/order_id"))
async def order(scope: Message, receive: Receive, send: Send) -> None:
    order_id = json.loads((await receive())["body"])["order_id"]
    scope["tocsin.tx"].execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (order_id,))
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b'{"status": "processed"}'})


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] == "/ready":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"{}"})
    elif scope["type"] == "http":
        await order(scope, receive, send)
