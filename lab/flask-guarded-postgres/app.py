"""The service of flask-guarded on PostgreSQL, in two processes that share one table of claims.

The handler says what an order does, and nothing about races: whatever it writes through `tx` happens once for each
order_id, or not at all, whichever process it comes to.
"""

import os
import queue
import secrets
import uuid
from typing import Any

import psycopg
from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.postgres import PostgresStore, Transaction
from tocsin.signing import KeyRing, Secret, preset

DATABASE = os.environ["LAB_DATABASE"]
LARGEST_QTY = 1000

app = Flask(__name__)
store = PostgresStore(DATABASE)
guard = Guard(preset("tocsin-v1"), KeyRing.of(Secret.from_env("LAB_SECRET", key_id="lab")), store)
# For what is not guarded: reading, setting up, resetting. The store opens its own.
idle: queue.LifoQueue[psycopg.Connection[Any]] = queue.LifoQueue()


def run(statement: str, *values: object) -> list[Any]:
    """One statement on a connection that nobody uses, committed when it returns; its rows, if it has any."""
    try:
        connection = idle.get_nowait()
    except queue.Empty:
        connection = psycopg.connect(DATABASE, autocommit=True)
    try:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []
    finally:
        idle.put_nowait(connection)


def create_tables() -> None:
    store.migrate()
    with psycopg.connect(DATABASE) as db:
        # IF NOT EXISTS alone is a race of its own: both processes start at once, and one would fail.
        db.execute("SELECT pg_advisory_xact_lock(1)")
        db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
        db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER)")
        # For routes.py.
        db.execute("CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, balance INTEGER, seq BIGINT)")
        db.execute("CREATE TABLE IF NOT EXISTS coupons (id TEXT PRIMARY KEY, uses INTEGER)")


def require_loopback() -> None:
    if request.remote_addr not in {"127.0.0.1", "::1"}:
        abort(403)


def is_name(text: str) -> bool:
    """Whether PostgreSQL takes it as a text: it has no U+0000 and no half of a surrogate pair."""
    return text.isascii() and text.isprintable()


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    match signed.json():
        case {"order_id": str(order_id), "item": str(item), "qty": int(qty)} if (
            order_id.isprintable() and is_name(item) and 0 < qty <= LARGEST_QTY and qty is not True
        ):
            pass
        case _:
            return {"error": f"wanted order_id as text, item in ASCII, and qty from 1 to {LARGEST_QTY}"}, 400
    # The condition is part of the write: nothing can change between looking at the stock and taking from it.
    if tx.execute("UPDATE items SET stock = stock - 1 WHERE id = %s AND stock > 0", (item,)).rowcount == 0:
        return {"error": "out of stock"}, 409
    tx.execute("INSERT INTO orders VALUES (%s, %s, %s)", (order_id, item, qty))
    # Made anew whenever this runs: a duplicate that shows the same receipt has not run it.
    return {"status": "processed", "receipt": secrets.token_hex(8)}


@app.get("/items/<item>")
def read_item(item: str) -> ResponseReturnValue:
    rows = run("SELECT stock FROM items WHERE id = %s", item) if is_name(item) else []
    return {"item": item, "stock": rows[0][0]} if rows else ({"error": "no such item"}, 404)


@app.get("/orders/<order_id>")
def read_order(order_id: str) -> ResponseReturnValue:
    if not order_id.isprintable():
        return {"error": "no order has such an id"}, 404
    [(count,)] = run("SELECT COUNT(*) FROM orders WHERE order_id = %s", order_id)
    return {"order_id": order_id, "count": count}


@app.post("/items")
def create_item() -> ResponseReturnValue:
    require_loopback()
    stock = (request.get_json(silent=True) or {}).get("stock", 5)
    item = f"sku-{uuid.uuid4().hex[:12]}"
    run("INSERT INTO items VALUES (%s, %s)", item, stock)
    return {"item": item, "stock": stock}, 201


@app.post("/__reset")
def reset() -> ResponseReturnValue:
    """Forget everything but the guard's claims: what was applied once is never applied again."""
    require_loopback()
    for table in ("orders", "items", "accounts", "coupons"):
        run(f"DELETE FROM {table}")
    return {"status": "reset"}


create_tables()
