"""One service for all traps: the same routes and signature, and the desk that LAB_TRAP names behind them.

X-Signature is lower-case hex HMAC-SHA256 of the raw body, compared before anything is parsed.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

from lab.traps import _safe, _unsafe
from lab.traps._desk import Desk, Order

SECRET = os.environ["LAB_SECRET"].encode()
LONGEST_ID = 128

DESKS: Mapping[str, type[Desk]] = {
    "random-ids": _safe.RandomIds,
    "busy-429": _safe.Busy,
    "busy-503": _safe.Unavailable,
    "slow-worker": _safe.SlowWorker,
    "conflict-409": _safe.Conflict,
    "same-answer": _safe.SameAnswer,
    "later": _safe.Later,
    "cached-reads": _safe.CachedReads,
    "says-duplicate": _unsafe.SaysDuplicate,
    "spelling": _unsafe.Spelling,
    "mutex-per-process": _unsafe.MutexPerProcess,
    "expiring-lock": _unsafe.ExpiringLock,
    "claim-after-effect": _unsafe.ClaimAfterEffect,
    "queued": _unsafe.Queued,
}

app = Flask(__name__)
desk = DESKS[os.environ["LAB_TRAP"]]()


def is_signed(body: bytes) -> bool:
    given = request.headers.get("X-Signature", "")
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    # compare_digest takes no text outside ASCII.
    return given.isascii() and hmac.compare_digest(given.lower(), expected) and desk.is_signature(given, expected)


def require_loopback() -> None:
    if request.remote_addr not in {"127.0.0.1", "::1"}:
        abort(403)


@app.post("/order")
def order() -> ResponseReturnValue:
    body = request.get_data()
    if not is_signed(body):
        return {"error": "bad signature"}, 401
    try:
        wanted = json.loads(body)
    except ValueError:
        wanted = None
    match wanted:
        case {"order_id": str(order_id), "item": str(item)} if (
            0 < len(order_id) <= LONGEST_ID and order_id.isascii() and item.isascii()
        ):
            return desk.order(Order(order_id, item, request.headers["X-Signature"]))
        case _:
            return {"error": f"wanted order_id and item, texts of up to {LONGEST_ID} characters of ASCII"}, 400


@app.get("/items/<item>")
def read_item(item: str) -> ResponseReturnValue:
    stock = desk.stock(item)
    return ({"error": "no such item"}, 404) if stock is None else {"item": item, "stock": stock}


@app.get("/orders/<order_id>")
def read_order(order_id: str) -> ResponseReturnValue:
    return {"order_id": order_id, "count": desk.orders(order_id)}


@app.post("/items")
def create_item() -> ResponseReturnValue:
    require_loopback()
    stock = (request.get_json(silent=True) or {}).get("stock", 5)
    return {"item": desk.new_item(stock), "stock": stock}, 201


@app.post("/__reset")
def reset() -> ResponseReturnValue:
    require_loopback()
    desk.reset()
    return {"status": "reset"}
