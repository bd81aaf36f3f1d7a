"""Reservations on Robyn, whose runtime is Actix, as the vulnerable original does them: parse, verify, look, then write.

What is signed is the payload as it is serialised again, and not the bytes that came; the item is in the path, which no
signature covers; and nothing remembers a reservation. What lies between the SELECT and the UPDATE is the race window;
it is as wide as the database calls make it, no sleeps.
"""

import hashlib
import hmac
import json
import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from robyn import Request, Response, Robyn

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = Path(os.environ["LAB_DATA"], "orders.db")

app = Robyn(__file__)


def connect() -> sqlite3.Connection:
    """A connection of this request alone, with SQLite's defaults: 5 s busy timeout, autocommit."""
    return sqlite3.connect(DATABASE, isolation_level=None)


def create_tables() -> None:
    with closing(connect()) as db:
        # WAL, as most services on SQLite have it: readers do not wait for a writer.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")


def answer(status: int, document: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(document))


def is_signed(request: Request, payload: object) -> bool:
    # Over what json.dumps makes of the payload: other bytes of this meaning pass too.
    canonical = json.dumps(payload, separators=(",", ":")).encode()
    expected = hmac.new(SECRET, canonical, hashlib.sha256).hexdigest()
    return hmac.compare_digest((request.headers.get("x-signature") or "").encode(), expected.encode())


def is_local(request: Request) -> bool:
    return request.ip_addr in {"127.0.0.1", "::1"}


@app.post("/api/reserve/:item")  # type: ignore[untyped-decorator]
def reserve(request: Request) -> Response:
    try:
        payload = json.loads(request.body)
    except ValueError:
        # Before anything is verified, as a framework's JSON extractor does it.
        return answer(400, {"error": "the body is no JSON"})
    if not is_signed(request, payload):
        return answer(401, {"error": "bad signature"})
    item = request.path_params["item"]
    with closing(connect()) as db:
        row = db.execute("SELECT stock FROM items WHERE id = ?", (item,)).fetchone()
        if row is None or row[0] < 1:
            return answer(409, {"error": "out of stock"})
        # Whoever got here believes that a piece is left, however many they are; and that nobody has asked before.
        db.execute("UPDATE items SET stock = stock - 1 WHERE id = ?", (item,))
    return answer(200, {"status": "reserved", "reservation_id": payload["reservation_id"]})


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
    if not is_local(request):
        return answer(403, {"error": "loopback only"})
    with closing(connect()) as db:
        db.execute("DELETE FROM items")
    return answer(200, {"status": "reset"})


if __name__ == "__main__":
    create_tables()
    # The port is in the environment variable ROBYN_PORT.
    app.start(host="127.0.0.1", _check_port=False)
