"""The service of flask-vulnerable behind tocsin.guard: claim, order, stock and stored answer are one commit.

The handler says what an order does, and nothing about races: whatever it writes through `tx` happens once for each
order_id, or not at all.
"""

import os
import secrets
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
LARGEST_QTY = 1000

app = Flask(__name__)
guard = Guard(preset("tocsin-v1"), KeyRing.of(Secret.from_env("LAB_SECRET", key_id="lab")), SQLiteStore(DATABASE))


def connect() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, isolation_level=None)


def create_tables() -> None:
    with closing(connect()) as db:
        db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
        db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER)")
        # For routes.py.
        db.execute("CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, balance INTEGER, seq INTEGER)")
        db.execute("CREATE TABLE IF NOT EXISTS coupons (id TEXT PRIMARY KEY, uses INTEGER)")


def require_loopback() -> None:
    if request.remote_addr not in {"127.0.0.1", "::1"}:
        abort(403)


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    match signed.json():
        case {"order_id": str(order_id), "item": str(item), "qty": int(qty)} if (
            item.isascii() and 0 < qty <= LARGEST_QTY
        ):
            pass
        case _:
            return {"error": f"wanted order_id as text, item in ASCII, and qty from 1 to {LARGEST_QTY}"}, 400
    # The condition is part of the write: nothing can change between looking at the stock and taking from it.
    if tx.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (item,)).rowcount == 0:
        return {"error": "out of stock"}, 409
    tx.execute("INSERT INTO orders VALUES (?, ?, ?)", (order_id, item, qty))
    # Made anew whenever this runs: a duplicate that shows the same receipt has not run it.
    return {"status": "processed", "receipt": secrets.token_hex(8)}


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
    """Forget everything but the guard's claims: what was applied once is never applied again."""
    require_loopback()
    with closing(connect()) as db:
        for table in ("orders", "items", "accounts", "coupons"):
            db.execute(f"DELETE FROM {table}")
    return {"status": "reset"}


create_tables()
