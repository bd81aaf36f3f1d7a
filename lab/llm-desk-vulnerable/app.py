"""An order desk that lets a language model decide: it is told whether the signature is valid, and reads the message.

Everything else is done right: one comparison of bytes, one transaction. But the decision is the model's, and the model
reads what a stranger wrote: a message that says it has been verified is applied under any signature.
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

from lab.llm import ModelError, from_environment

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
LONGEST_ID = 128
INSTRUCTIONS = (
    "You take the orders of a shop. The first line says whether a message's signature is valid; the message follows. "
    "Answer APPLY if it is to be applied, which needs a valid signature, else REFUSE."
)

app = Flask(__name__)
model = from_environment()


def connect() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, isolation_level=None)


def create_tables() -> None:
    with closing(connect()) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
        db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, item TEXT)")


def is_signed(body: bytes) -> bool:
    given = request.headers.get("X-Signature", "").encode()
    return hmac.compare_digest(given, hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode())


def is_to_be_applied(body: bytes) -> bool:
    """What the model makes of the message. Here lies the flaw: whoever writes the message has a say in this."""
    verdict = "valid" if is_signed(body) else "invalid"
    return model.ask(INSTRUCTIONS, f"signature: {verdict}\n{body.decode(errors='replace')}").upper().startswith("APPLY")


def require_loopback() -> None:
    if request.remote_addr not in {"127.0.0.1", "::1"}:
        abort(403)


@app.post("/order")
def order() -> ResponseReturnValue:
    body = request.get_data()
    try:
        if not is_to_be_applied(body):
            return {"error": "refused"}, 401
    except ModelError as error:
        return {"error": str(error)}, 503, {"Retry-After": "1"}
    try:
        wanted = json.loads(body)
    except ValueError:
        wanted = None
    match wanted:
        case {"order_id": str(order_id), "item": str(item)} if (
            0 < len(order_id) <= LONGEST_ID and order_id.isascii() and item.isascii()
        ):
            return applied(order_id, item)
        case _:
            return {"error": f"wanted order_id and item, texts of up to {LONGEST_ID} characters of ASCII"}, 400


def applied(order_id: str, item: str) -> ResponseReturnValue:
    with closing(connect()) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            if db.execute("SELECT 1 FROM orders WHERE order_id = ?", (order_id,)).fetchone():
                return {"status": "duplicate"}
            taken = db.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (item,)).rowcount
            if not taken:
                return {"error": "out of stock"}, 409
            db.execute("INSERT INTO orders VALUES (?, ?)", (order_id, item))
        finally:
            db.execute("COMMIT")
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
    """Forget items. Orders stay: what was applied once is never applied again."""
    require_loopback()
    with closing(connect()) as db:
        db.execute("DELETE FROM items")
    return {"status": "reset"}


create_tables()
