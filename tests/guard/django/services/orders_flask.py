"""The same orders on Flask, over the same claims."""

import json
import os
import secrets

from flask import Flask
from flask.typing import ResponseReturnValue

from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.stores.postgres import PostgresStore
from tocsin.signing import KeyRing, Secret, preset

app = Flask(__name__)
KEYS = KeyRing.of(Secret.from_env("ORDERS_SECRET"))
guard = Guard(preset("hex-sha256-body"), KEYS, PostgresStore(os.environ["ORDERS_DSN"]), wait_s=20)


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    tx.execute("INSERT INTO orders (order_id) VALUES (%s)", (json.loads(signed.body)["order_id"],))
    return {"receipt": secrets.token_hex(8), "by": "flask"}, 201, {"X-Receipt": secrets.token_hex(4)}


os.write(2, b"Ready to take orders\n")
