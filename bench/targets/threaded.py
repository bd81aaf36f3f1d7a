"""A service for bursts, on threads: verify, look, insert, each by SQLite; between look and insert it yields once.

When a handler has the whole body is written down; GET /burst?id= tells these stamps and how many effects there were.
"""

import hashlib
import hmac
import json
import os
import sqlite3
import time
from contextlib import closing

from flask import Flask, request

SECRET = b"bench"
DATABASE = os.environ["BENCH_DATABASE"]
STAMPS = os.open(f"{DATABASE}.stamps", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

app = Flask(__name__)

# Stays open: the last connection that closes would write the log back into the database, which takes milliseconds.
KEEPER = sqlite3.connect(DATABASE, check_same_thread=False)
KEEPER.executescript("PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS orders (id TEXT)")


def connected() -> sqlite3.Connection:
    """A connection a request, as Flask's own tutorial has it."""
    connection = sqlite3.connect(DATABASE, timeout=10, isolation_level=None)
    connection.execute("PRAGMA synchronous = off")
    return connection


@app.post("/order")
def order() -> tuple[dict[str, str], int]:
    body = request.get_data()
    at_ns = time.monotonic_ns()
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        return {"error": "signature"}, 401
    burst = json.loads(body)["id"]
    with closing(connected()) as database:
        known = database.execute("SELECT 1 FROM orders WHERE id = ?", (burst,)).fetchone()
        time.sleep(0)  # gives the interpreter away once, as any call to a network or a log does
        if not known:
            database.execute("INSERT INTO orders VALUES (?)", (burst,))
    os.write(STAMPS, f"{burst} {at_ns}\n".encode())
    return {"status": "duplicate" if known else "accepted"}, 200


@app.get("/burst")
def burst() -> dict[str, object]:
    wanted = request.args["id"]
    with closing(connected()) as database:
        (effects,) = database.execute("SELECT count(*) FROM orders WHERE id = ?", (wanted,)).fetchone()
    with open(f"{DATABASE}.stamps", encoding="ascii") as lines:  # noqa: PTH123  read as it is written
        stamps = [int(at) for name, _, at in (line.partition(" ") for line in lines) if name == wanted]
    return {"effects": effects, "stamps": stamps}
