"""The order endpoint behind guard.flask: verified, claimed, written and answered in one commit."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from flask import Flask, request
from flask.typing import ResponseReturnValue

from tocsin.guard import Guard, Signed
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction
from tocsin.signing import KeyRing, Secret, json_pointer, preset

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
keys = KeyRing.of(Secret.from_env("LAB_SECRET"))
guard = Guard(preset("hex-sha256-body"), keys, SQLiteStore(DATABASE))
app = Flask(__name__)

with closing(sqlite3.connect(DATABASE, timeout=30)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(_: Signed, tx: Transaction) -> ResponseReturnValue:
    tx.execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (request.get_json()["order_id"],))
    return {"status": "processed"}


@app.get("/ready")
def ready() -> ResponseReturnValue:
    return {}
