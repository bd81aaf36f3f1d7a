"""The published Flask remediation: a connection and CREATE TABLE for every request, and SQLite's own lock."""

import hashlib
import hmac
import os
import sqlite3
from contextlib import closing

from flask import Flask, request
from flask.typing import ResponseReturnValue

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = os.path.join(os.environ["LAB_DATA"], "orders.db")  # noqa: PTH118  as published

app = Flask(__name__)


@app.post("/order")
def order() -> ResponseReturnValue:
    body = request.get_data()
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get("X-Signature", ""), expected):
        return {"error": "bad signature"}, 401
    order_id = request.get_json()["order_id"]
    with closing(sqlite3.connect(DATABASE, isolation_level=None)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")
        db.execute("BEGIN IMMEDIATE")
        if db.execute("SELECT processed FROM orders WHERE order_id = ?", (order_id,)).fetchone():
            db.execute("ROLLBACK")
            return {"status": "duplicate"}
        db.execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (order_id,))
        db.execute("COMMIT")
    return {"status": "processed"}


@app.get("/ready")
def ready() -> ResponseReturnValue:
    return {}
