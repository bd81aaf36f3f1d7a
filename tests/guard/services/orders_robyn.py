"""A guarded service on Robyn, as its own server runs it in the tests: the same order, on a thread and on the loop."""

import json
import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from robyn import Request, Response, Robyn

from tocsin.guard import Guard, Signed, Transaction, json_pointer
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

app = Robyn(__file__)


def write(tx: Transaction, signed: Signed) -> Response:
    tx.execute("INSERT INTO orders VALUES (?)", (json.loads(signed.body)["order_id"],))
    receipt = json.dumps({"receipt": secrets.token_hex(8), "worker": os.getpid()})
    return Response(201, {"Content-Type": "application/json"}, receipt)


@app.post("/order")  # type: ignore[untyped-decorator]
@guard.robyn(name="/order", key=KEY)
def order(_request: Request, signed: Signed, tx: Transaction) -> Response:
    return write(tx, signed)


@app.post("/order/on-the-loop")  # type: ignore[untyped-decorator]
@guard.robyn(name="/order/on-the-loop", key=KEY)
async def order_on_the_loop(_request: Request, signed: Signed, tx: Transaction) -> Response:
    return write(tx, signed)


async def ready() -> None:
    # In one write: the lines of two processes would run into each other. The port is from ROBYN_PORT.
    os.write(2, b"Listening at: http://127.0.0.1:%s Ready\n" % os.environ["ROBYN_PORT"].encode())


if __name__ == "__main__":
    app.startup_handler(ready)
    app.start(_check_port=False)
