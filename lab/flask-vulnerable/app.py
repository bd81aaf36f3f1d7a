"""Orders and stock, as the vulnerable originals do it: verify the signature, look, then write.

Every statement is right when it runs alone. Nothing ties them together: no transaction, no unique constraint, no lock.
What lies between the SELECT and the INSERT is the race window; it is as wide as the database calls make it, no sleeps.
"""

import hashlib
import hmac
import json
import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = Path(os.environ["LAB_DATA"], "orders.db")

app = Flask(__name__)


def connect() -> sqlite3.Connection:
    """A connection of this request alone, with SQLite's defaults: 5 s busy timeout, autocommit."""
    return sqlite3.connect(DATABASE, isolation_level=None)


def create_tables() -> None:
    with closing(connect()) as db:
        # WAL, as most services on SQLite have it: readers do not wait for a writer.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
        # order_id is deliberately not unique: the SELECT in order() is the only thing that looks for duplicates.
        db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER)")
        # For routes.py.
        db.execute("CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, balance INTEGER, seq INTEGER)")
        db.execute("CREATE TABLE IF NOT EXISTS coupons (id TEXT PRIMARY KEY, uses INTEGER)")
        db.execute("CREATE TABLE IF NOT EXISTS done (kind TEXT, id TEXT)")


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
    wanted = json.loads(body)
    with closing(connect()) as db:
        if db.execute("SELECT 1 FROM orders WHERE order_id = ?", (wanted["order_id"],)).fetchone():
            return {"status": "duplicate"}
        row = db.execute("SELECT stock FROM items WHERE id = ?", (wanted["item"],)).fetchone()
        if row is None or row[0] < 1:
            return {"error": "out of stock"}, 409
        # Whoever got here believes that the order is new and the stock is there, however many they are.
        db.execute("INSERT INTO orders VALUES (?, ?, ?)", (wanted["order_id"], wanted["item"], wanted["qty"]))
        db.execute("UPDATE items SET stock = stock - 1 WHERE id = ?", (wanted["item"],))
    return {"status": "processed"}


@app.get("/items/<item>")
def read_item(item: str) -> ResponseReturnValue:
    with closing(connect()) as db:
        row = db.execute("SELECT stock FROM items WHERE id = ?", (item,)).fetchone()
    return {"item": item, "stock": row[0]} if row else ({"error": "no such item"}, 404)


@app.get("/orders/<order_id>")
def read_order(order_id: str) -> ResponseReturnValue:
    with closing(connect()) as db:
        (count,) = db.execute("SELECT COUNT(*) FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    return {"order_id": order_id, "count": count}


@app.post("/items")
def create_item() -> ResponseReturnValue:
    require_loopback()
    stock = (request.get_json(silent=True) or {}).get("stock", 5)
    item = f"sku-{uuid.uuid4().hex[:12]}"
    with closing(connect()) as db:
        db.execute("INSERT INTO items VALUES (?, ?)", (item, stock))
    return {"item": item, "stock": stock}, 201


@app.post("/__reset")
def reset() -> ResponseReturnValue:
    require_loopback()
    with closing(connect()) as db:
        for table in ("orders", "items", "accounts", "coupons", "done"):
            db.execute(f"DELETE FROM {table}")
    return {"status": "reset"}


create_tables()
