"""Reservations and more on Robyn, whose runtime is Actix, as the vulnerable original does them: parse, verify, look,
then write.

What is signed is the payload as it is serialised again, and not the bytes that came; what stands in a path is covered
by no signature; and nothing remembers a message. What lies between the SELECT and the UPDATE is the race window; it is
as wide as the database calls make it, no sleeps.
"""

import hashlib
import hmac
import json
import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from robyn import Request, Response, Robyn

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
TABLES = """
CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER);
CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, balance INTEGER NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS coupons (id TEXT PRIMARY KEY, uses INTEGER NOT NULL);
"""

app = Robyn(__file__)


def connect() -> sqlite3.Connection:
    """A connection of this request alone, with SQLite's defaults: 5 s busy timeout, autocommit."""
    return sqlite3.connect(DATABASE, isolation_level=None)


def create_tables() -> None:
    with closing(connect()) as db:
        # WAL, as most services on SQLite have it: readers do not wait for a writer.
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(TABLES)


def answer(status: int, document: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(document))


def is_signed(request: Request, payload: object) -> bool:
    # Over what json.dumps makes of the payload: other bytes of this meaning pass too.
    canonical = json.dumps(payload, separators=(",", ":")).encode()
    expected = hmac.new(SECRET, canonical, hashlib.sha256).hexdigest()
    return hmac.compare_digest((request.headers.get("x-signature") or "").encode(), expected.encode())


def received(request: Request) -> tuple[Any, Response | None]:
    """The payload; or why there is none."""
    try:
        payload = json.loads(request.body)
    except ValueError:
        # Before anything is verified, as a framework's JSON extractor does it.
        return None, answer(400, {"error": "the body is no JSON"})
    return payload, None if is_signed(request, payload) else answer(401, {"error": "bad signature"})


def is_local(request: Request) -> bool:
    return request.ip_addr in {"127.0.0.1", "::1"}


@app.post("/order")  # type: ignore[untyped-decorator]
def order(request: Request) -> Response:
    wanted, refusal = received(request)
    if refusal:
        return refusal
    with closing(connect()) as db:
        row = db.execute("SELECT stock FROM items WHERE id = ?", (wanted["item"],)).fetchone()
        if row is None or row[0] < 1:
            return answer(409, {"error": "out of stock"})
        db.execute("INSERT INTO orders VALUES (?, ?, ?)", (wanted["order_id"], wanted["item"], wanted["qty"]))
        db.execute("UPDATE items SET stock = stock - 1 WHERE id = ?", (wanted["item"],))
    return answer(200, {"status": "processed"})


@app.post("/api/reserve/:item")  # type: ignore[untyped-decorator]
def reserve(request: Request) -> Response:
    payload, refusal = received(request)
    if refusal:
        return refusal
    item = request.path_params["item"]
    with closing(connect()) as db:
        row = db.execute("SELECT stock FROM items WHERE id = ?", (item,)).fetchone()
        if row is None or row[0] < 1:
            return answer(409, {"error": "out of stock"})
        # Whoever got here believes that a piece is left, however many they are; and that nobody has asked before.
        db.execute("UPDATE items SET stock = stock - 1 WHERE id = ?", (item,))
    return answer(200, {"status": "reserved", "reservation_id": payload["reservation_id"]})


@app.post("/webhooks/payment")  # type: ignore[untyped-decorator]
def payment(request: Request) -> Response:
    event, refusal = received(request)
    if refusal:
        return refusal
    with closing(connect()) as db:
        row = db.execute("SELECT seq FROM accounts WHERE id = ?", (event["account"],)).fetchone()
        if row is None:
            return answer(404, {"error": "no such account"})
        if event["seq"] <= row[0]:
            return answer(409, {"error": "a newer event has been applied"})
        # Of two events that were both newer than the applied one, the one that writes last stays.
        values = (event["amount"], event["seq"], event["account"])
        db.execute("UPDATE accounts SET balance = balance + ?, seq = ? WHERE id = ?", values)
    return answer(200, {"status": "booked", "event_id": event["event_id"]})


@app.post("/transfer")  # type: ignore[untyped-decorator]
def transfer(request: Request) -> Response:
    wanted, refusal = received(request)
    if refusal:
        return refusal
    with closing(connect()) as db:
        row = db.execute("SELECT balance FROM accounts WHERE id = ?", (wanted["source"],)).fetchone()
        if row is None or row[0] < wanted["amount"]:
            return answer(409, {"error": "not enough"})
        # Whoever got here believes that there is enough. A crash between the two loses the money.
        take, give = (wanted["amount"], wanted["source"]), (wanted["amount"], wanted["target"])
        db.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", take)
        db.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", give)
    return answer(200, {"status": "transferred", "transfer_id": wanted["transfer_id"]})


@app.post("/coupon/redeem")  # type: ignore[untyped-decorator]
def redeem(request: Request) -> Response:
    wanted, refusal = received(request)
    if refusal:
        return refusal
    with closing(connect()) as db:
        row = db.execute("SELECT uses FROM coupons WHERE id = ?", (wanted["coupon"],)).fetchone()
        if row is None or row[0] < 1:
            return answer(409, {"error": "used up"})
        db.execute("UPDATE coupons SET uses = uses - 1 WHERE id = ?", (wanted["coupon"],))
    return answer(200, {"status": "redeemed", "redemption_id": wanted["redemption_id"]})


@app.get("/items/:item")  # type: ignore[untyped-decorator]
def read_item(request: Request) -> Response:
    item = request.path_params["item"]
    with closing(connect()) as db:
        row = db.execute("SELECT stock FROM items WHERE id = ?", (item,)).fetchone()
    return answer(200, {"item": item, "stock": row[0]}) if row else answer(404, {"error": "no such item"})


@app.get("/orders/:order_id")  # type: ignore[untyped-decorator]
def read_order(request: Request) -> Response:
    order_id = request.path_params["order_id"]
    with closing(connect()) as db:
        (count,) = db.execute("SELECT COUNT(*) FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    return answer(200, {"order_id": order_id, "count": count})


@app.get("/accounts/:account")  # type: ignore[untyped-decorator]
def read_account(request: Request) -> Response:
    account = request.path_params["account"]
    with closing(connect()) as db:
        row = db.execute("SELECT balance, seq FROM accounts WHERE id = ?", (account,)).fetchone()
    return answer(200, {"balance": row[0], "seq": row[1]}) if row else answer(404, {"error": "no such account"})


@app.get("/coupons/:coupon")  # type: ignore[untyped-decorator]
def read_coupon(request: Request) -> Response:
    coupon = request.path_params["coupon"]
    with closing(connect()) as db:
        row = db.execute("SELECT uses FROM coupons WHERE id = ?", (coupon,)).fetchone()
    return answer(200, {"coupon": coupon, "left": row[0]}) if row else answer(404, {"error": "no such coupon"})


@app.get("/ready")  # type: ignore[untyped-decorator]
def ready() -> str:
    return "ready"


def create(request: Request, kind: str, prefix: str, member: str, statement: str) -> Response:
    """A thing that nobody has had before; the answer's first member holds its name."""
    if not is_local(request):
        return answer(403, {"error": "loopback only"})
    number = json.loads(request.body or "{}").get(member, 5)
    name = f"{prefix}-{uuid.uuid4().hex[:12]}"
    with closing(connect()) as db:
        db.execute(statement, (name, number))
    return answer(201, {kind: name, member: number})


@app.post("/items")  # type: ignore[untyped-decorator]
def create_item(request: Request) -> Response:
    return create(request, "item", "sku", "stock", "INSERT INTO items VALUES (?, ?)")


@app.post("/accounts")  # type: ignore[untyped-decorator]
def create_account(request: Request) -> Response:
    return create(request, "account", "acc", "balance", "INSERT INTO accounts VALUES (?, ?, 0)")


@app.post("/coupons")  # type: ignore[untyped-decorator]
def create_coupon(request: Request) -> Response:
    return create(request, "coupon", "code", "uses", "INSERT INTO coupons VALUES (?, ?)")


@app.post("/__reset")  # type: ignore[untyped-decorator]
def reset(request: Request) -> Response:
    if not is_local(request):
        return answer(403, {"error": "loopback only"})
    with closing(connect()) as db:
        db.executescript("DELETE FROM items; DELETE FROM orders; DELETE FROM accounts; DELETE FROM coupons")
    return answer(200, {"status": "reset"})


if __name__ == "__main__":
    create_tables()
    # The port is in the environment variable ROBYN_PORT.
    app.start(host="127.0.0.1", _check_port=False)
