"""A guarded WSGI application, as servers run it in the tests: written in no framework."""

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tocsin.guard import Guard, json_pointer
from tocsin.guard.adapters.wsgi import SIGNED, TX
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["ORDERS_DB"])

store = SQLiteStore(DATABASE)
guard = Guard(preset("hex-sha256-body"), KeyRing.of(Secret.from_env("ORDERS_SECRET")), store, wait_s=20)

with closing(sqlite3.connect(DATABASE, isolation_level=None, timeout=10)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT NOT NULL)")


@guard.wsgi(name="/order", key=json_pointer("/order_id"))
def app(environ: Any, start_response: Any) -> Iterator[bytes]:
    """In pieces: the second one is made after an unguarded server would have sent the first."""
    order_id = environ[SIGNED].json()["order_id"]
    write = start_response("201 Created", [("Content-Type", "application/json")])
    write(b'{"receipt":')
    environ[TX].execute("INSERT INTO orders VALUES (?)", (order_id,))
    yield json.dumps([secrets.token_hex(8), os.getpid()]).encode()
    yield b"}"


# In one write: print() makes two, and the lines of two workers would run into each other.
os.write(2, b"Ready to take orders\n")
