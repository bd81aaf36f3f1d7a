"""A guarded webhook sink, as gunicorn runs it in the tests: each message says what the state is, and has a number."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from flask import Flask

from tocsin.guard import Guard, Signed, Transaction, json_pointer, sequence
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["ORDERS_DB"])

app = Flask(__name__)
guard = Guard(preset("hex-sha256-body"), KeyRing.of(Secret.from_env("ORDERS_SECRET")), SQLiteStore(DATABASE), wait_s=20)

with closing(sqlite3.connect(DATABASE, isolation_level=None, timeout=10)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS states (version INTEGER NOT NULL)")


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"), sequence=sequence(number=json_pointer("/version")))
def state(signed: Signed, tx: Transaction) -> dict[str, int]:
    message = json.loads(signed.body)
    tx.execute("INSERT INTO states VALUES (?)", (message["version"],))
    if message.get("kills") and not Path(message["kills"]).exists():
        Path(message["kills"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"worker": os.getpid()}


# As in orders.py.
os.write(2, b"Ready to take orders\n")
