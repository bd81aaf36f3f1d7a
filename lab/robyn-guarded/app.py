"""The service of robyn-vulnerable behind tocsin.guard: claim, writes and stored answer are one commit, on Actix too.

The handlers say what an order or a transfer does, and nothing about races: whatever they write through `tx` happens
once for each message, or not at all.
"""

import json
import os
import secrets
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from robyn import Request, Response, Robyn

from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
TABLES = """
CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER);
CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, balance INTEGER NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS coupons (id TEXT PRIMARY KEY, uses INTEGER NOT NULL);
"""
LARGEST = 1_000_000

app = Robyn(__file__)
guard = Guard(preset("tocsin-v1"), KeyRing.of(Secret.from_env("LAB_SECRET", key_id="lab")), SQLiteStore(DATABASE))


def connect() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, isolation_level=None)


def create_tables() -> None:
    with closing(connect()) as db:
        db.executescript(TABLES)


def answer(status: int, document: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(document))


def wrong() -> Response:
    return answer(400, {"error": "the body has not the members that are wanted, or not of their kinds"})


def done(status: str, signed: Signed) -> Response:
    """Made anew whenever a handler runs: a duplicate that shows the same receipt has not run it."""
    return answer(200, {"status": status, "receipt": secrets.token_hex(8), "for": signed.tenant})


def is_local(request: Request) -> bool:
    return request.ip_addr in {"127.0.0.1", "::1"}


@app.post("/order")  # type: ignore[untyped-decorator]
@guard.robyn(name="/order", key=json_pointer("/order_id"))
def order(_request: Request, signed: Signed, tx: Transaction) -> Response:
    match signed.json():
        case {"order_id": str(order_id), "item": str(item), "qty": int(qty)} if item.isascii() and 0 < qty <= LARGEST:
            # The condition is part of the write: nothing can change between looking at the stock and taking from it.
            if tx.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (item,)).rowcount == 0:
                return answer(409, {"error": "out of stock"})
            tx.execute("INSERT INTO orders VALUES (?, ?, ?)", (order_id, item, qty))
            return done("processed", signed)
    return wrong()


@app.post("/api/reserve/:item")  # type: ignore[untyped-decorator]
@guard.robyn(name="/api/reserve/:item", key=json_pointer("/reservation_id"))
def reserve(request: Request, signed: Signed, tx: Transaction) -> Response:
    item = request.path_params["item"]
    if tx.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (item,)).rowcount == 0:
        return answer(409, {"error": "out of stock"})
    return done("reserved", signed)


@app.post("/webhooks/payment")  # type: ignore[untyped-decorator]
@guard.robyn(name="/webhooks/payment", key=json_pointer("/event_id"))
def payment(_request: Request, signed: Signed, tx: Transaction) -> Response:
    match signed.json():
        case {"account": str(account), "seq": int(seq), "amount": int(amount)} if (
            account.isascii() and 0 < seq <= LARGEST and 0 < amount <= LARGEST
        ):
            newer = "UPDATE accounts SET balance = balance + ?, seq = ? WHERE id = ? AND seq < ?"
            if tx.execute(newer, (amount, seq, account, seq)).rowcount == 0:
                return answer(409, {"error": "no such account, or a newer event has been applied"})
            return done("booked", signed)
    return wrong()


@app.post("/transfer")  # type: ignore[untyped-decorator]
@guard.robyn(name="/transfer", key=json_pointer("/transfer_id"))
def transfer(_request: Request, signed: Signed, tx: Transaction) -> Response:
    match signed.json():
        case {"source": str(source), "target": str(target), "amount": int(amount)} if (
            source.isascii() and target.isascii() and 0 < amount <= LARGEST
        ):
            # Looked for first: an answer commits what the handler has written, whatever it says.
            if tx.execute("SELECT 1 FROM accounts WHERE id = ?", (target,)).fetchone() is None:
                return answer(404, {"error": "no such account"})
            take = "UPDATE accounts SET balance = balance - ? WHERE id = ? AND balance >= ?"
            if tx.execute(take, (amount, source, amount)).rowcount == 0:
                return answer(409, {"error": "not enough"})
            tx.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, target))
            return done("transferred", signed)
    return wrong()


@app.post("/coupon/redeem")  # type: ignore[untyped-decorator]
@guard.robyn(name="/coupon/redeem", key=json_pointer("/redemption_id"))
def redeem(_request: Request, signed: Signed, tx: Transaction) -> Response:
    match signed.json():
        case {"coupon": str(coupon)} if coupon.isascii():
            if tx.execute("UPDATE coupons SET uses = uses - 1 WHERE id = ? AND uses > 0", (coupon,)).rowcount == 0:
                return answer(409, {"error": "used up"})
            return done("redeemed", signed)
    return wrong()


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
    """Forget everything but the guard's claims: what was applied once is never applied again."""
    if not is_local(request):
        return answer(403, {"error": "loopback only"})
    with closing(connect()) as db:
        db.executescript("DELETE FROM items; DELETE FROM orders; DELETE FROM accounts; DELETE FROM coupons")
    return answer(200, {"status": "reset"})


if __name__ == "__main__":
    create_tables()
    # The port is in the environment variable ROBYN_PORT.
    app.start(host="127.0.0.1", _check_port=False)
