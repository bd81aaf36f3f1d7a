"""A guarded service whose claims are in Redis and whose effects are elsewhere: lines in a file."""

import json
import os
import secrets

from flask import Flask
from flask.typing import ResponseReturnValue

from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.redis import Lease, RedisStore
from tocsin.signing import KeyRing, Secret, preset

app = Flask(__name__)
guard = Guard(
    preset("hex-sha256-body"),
    KeyRing.of(Secret.from_env("ORDERS_SECRET")),
    RedisStore(os.environ["ORDERS_REDIS"]),
    wait_s=20,
)


@app.post("/order")
@guard.flask(key=json_pointer("/order_id"))
def order(signed: Signed, tx: Lease) -> ResponseReturnValue:
    with open(os.environ["ORDERS_DB"], "a") as effects:  # noqa: PTH123  one write, appended as a whole
        effects.write(f"{json.loads(signed.body)['order_id']} {tx.token}\n")
    if json.loads(signed.body)["order_id"] == "fatal":
        os._exit(9)
    return {"receipt": secrets.token_hex(8), "worker": os.getpid()}, 201


os.write(2, b"Ready to take orders\n")
