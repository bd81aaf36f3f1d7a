"""A guarded Litestar service, as ASGI servers run it in the tests, under a middleware that makes streams of answers."""

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from litestar import Litestar, post
from litestar.config.compression import CompressionConfig
from litestar.params import JSONBody

from tocsin.guard import Guard, Transaction, json_pointer
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


async def ready() -> None:
    os.write(2, b"Ready to take orders\n")


def write(tx: Transaction, order_id: str) -> dict[str, Any]:
    tx.execute("INSERT INTO orders VALUES (?)", (order_id,))
    return {"receipt": secrets.token_hex(8), "worker": os.getpid()}


@post("/order")
@guard.litestar(key=KEY)
async def order(tx: Transaction, data: JSONBody[dict[str, str]]) -> dict[str, Any]:
    return write(tx, data["order_id"])


@post("/order/on-a-thread")
@guard.litestar(key=KEY)
def order_on_a_thread(tx: Transaction, data: JSONBody[dict[str, str]]) -> dict[str, Any]:
    return write(tx, data["order_id"])


app = Litestar(
    [order, order_on_a_thread],
    compression_config=CompressionConfig(backend="gzip", minimum_size=1),
    on_startup=[ready],
    openapi_config=None,
)
