"""The service that is killed: a guarded order, and a message for the partner in the same commit. For gunicorn."""

import json
import os

from flask import Flask
from flask.typing import ResponseReturnValue

from bench.outboxing.places import SECRET, place
from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.signing import KeyRing, preset

app = Flask(__name__)
made = place(os.environ["OUTBOX_PLACE"])
guard = Guard(preset("hex-sha256-body"), KeyRing.of(SECRET), made.store)


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    """Write the order, and tell the partner."""
    order_id = json.loads(signed.body)["order_id"]
    tx.execute(made.insert, (order_id,))
    made.outbox.put(tx, "partner", {"order_id": order_id})
    return {"status": "processed"}, 201
