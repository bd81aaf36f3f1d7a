"""The service of robyn-vulnerable behind tocsin.guard: claim, stock and stored answer are one commit, on Actix too.

The handler says what a reservation does, and nothing about races: whatever it writes through `tx` happens once for each
reservation_id, or not at all.
"""

import json
import os
import secrets
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from robyn import Request, Response, Robyn

from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")

app = Robyn(__file__)
guard = Guard(preset("tocsin-v1"), KeyRing.of(Secret.from_env("LAB_SECRET", key_id="lab")), SQLiteStore(DATABASE))


def connect() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, isolation_level=None)


def create_tables() -> None:
    with closing(connect()) as db:
        db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")


def answer(status: int, document: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(document))


def is_local(request: Request) -> bool:
    return request.ip_addr in {"127.0.0.1", "::1"}


@app.post("/api/reserve/:item")  # type: ignore[untyped-decorator]
@guard.robyn(name="/api/reserve/:item", key=json_pointer("/reservation_id"))
def reserve(request: Request, signed: Signed, tx: Transaction) -> Response:
    item = request.path_params["item"]
    # The condition is part of the write: nothing can change between looking at the stock and taking from it.
    if tx.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (item,)).rowcount == 0:
        return answer(409, {"error": "out of stock"})
    # Made anew whenever this runs: a duplicate that shows the same receipt has not run it.
    return answer(200, {"status": "reserved", "receipt": secrets.token_hex(8), "for": signed.tenant})


@app.get("/items/:item")  # type: ignore[untyped-decorator]
def read_item(request: Request) -> Response:
    item = request.path_params["item"]
    with closing(connect()) as db:
        row = db.execute("SELECT stock FROM items WHERE id = ?", (item,)).fetchone()
    return answer(200, {"item": item, "stock": row[0]}) if row else answer(404, {"error": "no such item"})


@app.get("/ready")  # type: ignore[untyped-decorator]
def ready() -> str:
    return "ready"


@app.post("/items")  # type: ignore[untyped-decorator]
def create_item(request: Request) -> Response:
    if not is_local(request):
        return answer(403, {"error": "loopback only"})
    stock = json.loads(request.body or "{}").get("stock", 5)
    item = f"sku-{uuid.uuid4().hex[:12]}"
    with closing(connect()) as db:
        db.execute("INSERT INTO items VALUES (?, ?)", (item, stock))
    return answer(201, {"item": item, "stock": stock})


@app.post("/__reset")  # type: ignore[untyped-decorator]
def reset(request: Request) -> Response:
    """Forget the items. The guard's claims stay: what was applied once is never applied again."""
    if not is_local(request):
        return answer(403, {"error": "loopback only"})
    with closing(connect()) as db:
        db.execute("DELETE FROM items")
    return answer(200, {"status": "reset"})


if __name__ == "__main__":
    create_tables()
    # The port is in the environment variable ROBYN_PORT.
    app.start(host="127.0.0.1", _check_port=False)
