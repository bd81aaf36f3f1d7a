"""A guarded service on PostgreSQL, as gunicorn runs it in the tests: orders, each with a receipt of its own."""

import json
import os
import secrets
import sys

from flask import Flask
from flask.typing import ResponseReturnValue

from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.stores.postgres import PostgresStore
from tocsin.signing import KeyRing, Secret, preset

app = Flask(__name__)
store = PostgresStore(os.environ["ORDERS_DB"])
guard = Guard(preset("hex-sha256-body"), KeyRing.of(Secret.from_env("ORDERS_SECRET")), store, wait_s=20)


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    tx.execute("INSERT INTO orders (order_id) VALUES (%s)", (json.loads(signed.body)["order_id"],))
    return {"receipt": secrets.token_hex(8), "worker": os.getpid()}, 201, {"X-Receipt": secrets.token_hex(4)}


# A burst that is sent when every worker has said so meets all of them.
# One write, because print makes two, and another worker's line can come between them.
os.write(sys.stderr.fileno(), b"Ready to take orders\n")
