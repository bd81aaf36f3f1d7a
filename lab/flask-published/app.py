"""The published Flask remediation, as published: check and insert under one write lock of SQLite.

It closes the duplicate race. It is in the lab because of what it leaves open; expected.toml names each hole.
"""

import hashlib
import hmac
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = Path(os.environ["LAB_DATA"], "orders.db")

app = Flask(__name__)


def connect() -> sqlite3.Connection:
    """A new connection, and the table created if need be, for every single request: as published."""
    db = sqlite3.connect(DATABASE, isolation_level=None)
    # A TEXT primary key admits any number of NULLs, and `= NULL` matches none: order_id null is never a duplicate.
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")
    return db


def is_signed(body: bytes) -> bool:
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    # compare_digest of two str raises TypeError for anything outside ASCII: such a header is answered 500, not 401.
    return hmac.compare_digest(request.headers.get("X-Signature", ""), expected)


def require_loopback() -> None:
    if request.remote_addr not in {"127.0.0.1", "::1"}:
        abort(403)


@app.post("/order")
def order() -> ResponseReturnValue:
    body = request.get_data()
    if not is_signed(body):
        return {"error": "bad signature"}, 401
    order_id = json.loads(body)["order_id"]
    with closing(connect()) as db:
        db.execute("BEGIN IMMEDIATE")
        row = db.execute("SELECT processed FROM orders WHERE order_id = ?", (order_id,)).fetchone()
        if row and row[0] == 1:
            db.execute("ROLLBACK")
            return {"status": "duplicate"}
        try:
            db.execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (order_id,))
            db.execute("COMMIT")
        except sqlite3.IntegrityError:
            # Reached by a row with processed = 0 too: answered "duplicate" although nothing was ever applied.
            return {"status": "duplicate"}
    return {"status": "processed"}


@app.post("/returns")
def returns() -> ResponseReturnValue:
    """Another operation under the same secret: its messages have the shape of an order's."""
    body = request.get_data()
    if not is_signed(body):
        return {"error": "bad signature"}, 401
    with closing(connect()) as db:
        db.execute("CREATE TABLE IF NOT EXISTS returns (order_id TEXT PRIMARY KEY)")
        db.execute("INSERT OR IGNORE INTO returns VALUES (?)", (json.loads(body)["order_id"],))
    return {"status": "processed"}


@app.get("/returns")
def count_returns() -> ResponseReturnValue:
    with closing(connect()) as db:
        db.execute("CREATE TABLE IF NOT EXISTS returns (order_id TEXT PRIMARY KEY)")
        (count,) = db.execute("SELECT COUNT(*) FROM returns").fetchone()
    return {"count": count}


@app.get("/orders")
def count_orders() -> ResponseReturnValue:
    with closing(connect()) as db:
        (count,) = db.execute("SELECT COUNT(*) FROM orders").fetchone()
    return {"count": count}


@app.get("/orders/<order_id>")
def read_order(order_id: str) -> ResponseReturnValue:
    with closing(connect()) as db:
        (count,) = db.execute("SELECT COUNT(*) FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    return {"order_id": order_id, "count": count}


@app.post("/__reset")
def reset() -> ResponseReturnValue:
    require_loopback()
    with closing(connect()) as db:
        db.execute("DELETE FROM orders")
        db.execute("DROP TABLE IF EXISTS returns")
    return {"status": "reset"}
