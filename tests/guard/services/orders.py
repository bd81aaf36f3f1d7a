"""A guarded service, as gunicorn runs it in the tests: orders, each with a receipt that no second run would repeat."""

import json
import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from flask import Flask
from flask.typing import ResponseReturnValue

from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["ORDERS_DB"])
WAIT_S = float(os.environ.get("ORDERS_WAIT_S", "20"))

app = Flask(__name__)
store = SQLiteStore(DATABASE)
guard = Guard(preset("hex-sha256-body"), KeyRing.of(Secret.from_env("ORDERS_SECRET")), store, wait_s=WAIT_S)

with closing(sqlite3.connect(DATABASE, isolation_level=None, timeout=10)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT NOT NULL)")


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    tx.execute("INSERT INTO orders VALUES (?)", (json.loads(signed.body)["order_id"],))
    return {"receipt": secrets.token_hex(8), "worker": os.getpid()}, 201, {"X-Receipt": secrets.token_hex(4)}


# A burst that is sent when every worker has said so meets all of them. In one write: print() makes two, and the lines
# of two workers would run into each other.
os.write(2, b"Ready to take orders\n")
