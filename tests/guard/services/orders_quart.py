"""A guarded Quart service, as ASGI servers run it in the tests."""

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from quart import Quart, request

from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["ORDERS_DB"])
KEY = json_pointer("/order_id")

store = SQLiteStore(DATABASE)
guard = Guard(
    preset("hex-sha256-body"), KeyRing.of(Secret.from_env("ORDERS_SECRET")), store, wait_s=20, shared_secret=True
)
app = Quart("orders")

with closing(sqlite3.connect(DATABASE, isolation_level=None, timeout=10)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT NOT NULL)")


@app.before_serving
async def ready() -> None:
    os.write(2, b"Ready to take orders\n")


def write(signed: Signed, tx: Transaction) -> tuple[dict[str, Any], int]:
    document: Any = signed.json()
    tx.execute("INSERT INTO orders VALUES (?)", (document["order_id"],))
    return {"receipt": secrets.token_hex(8), "worker": os.getpid()}, 201


@app.post("/order")
@guard.quart(key=KEY)
async def order(signed: Signed, tx: Transaction) -> tuple[dict[str, Any], int]:
    assert await request.get_json() == signed.json()
    return write(signed, tx)


@app.post("/order/on-a-thread")
@guard.quart(key=KEY)
def order_on_a_thread(signed: Signed, tx: Transaction) -> tuple[dict[str, Any], int]:
    return write(signed, tx)
