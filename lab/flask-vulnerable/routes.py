"""Reservations, payments, transfers and coupons beside the orders of app.py, made as those are: look, then write.

What lies between the statement that looks and the one that writes is the race window; it is as wide as the database
calls make it, no sleeps.
"""

import json
import sqlite3
import uuid
from contextlib import closing
from typing import Any

from app import app, connect, is_signed, require_loopback
from flask import abort, make_response, request
from flask.typing import ResponseReturnValue


def received() -> Any:  # noqa: ANN401  JSON
    """What was signed; a forgery ends here."""
    body = request.get_data()
    if not is_signed(body):
        abort(make_response({"error": "bad signature"}, 401))
    return json.loads(body)


def is_done(db: sqlite3.Connection, kind: str, message_id: object) -> bool:
    """As far as a SELECT can tell: nothing else looks for duplicates."""
    return db.execute("SELECT 1 FROM done WHERE kind = ? AND id = ?", (kind, message_id)).fetchone() is not None


def note(db: sqlite3.Connection, kind: str, message_id: object) -> None:
    db.execute("INSERT INTO done VALUES (?, ?)", (kind, message_id))


@app.post("/api/reserve/<item>")
def reserve(item: str) -> ResponseReturnValue:
    wanted = received()
    with closing(connect()) as db:
        if is_done(db, "reservation", wanted["reservation_id"]):
            return {"status": "duplicate"}
        row = db.execute("SELECT stock FROM items WHERE id = ?", (item,)).fetchone()
        if row is None or row[0] < 1:
            return {"error": "out of stock"}, 409
        note(db, "reservation", wanted["reservation_id"])
        db.execute("UPDATE items SET stock = stock - 1 WHERE id = ?", (item,))
    return {"status": "reserved"}


@app.post("/webhooks/payment")
def payment() -> ResponseReturnValue:
    event = received()
    with closing(connect()) as db:
        if is_done(db, "payment", event["event_id"]):
            return {"status": "duplicate"}
        row = db.execute("SELECT seq FROM accounts WHERE id = ?", (event["account"],)).fetchone()
        if row is None:
            return {"error": "no such account"}, 404
        if event["seq"] <= row[0]:
            return {"error": "a newer event has been applied"}, 409
        note(db, "payment", event["event_id"])
        # Of two events that were both newer than the applied one, the one that writes last stays.
        values = (event["amount"], event["seq"], event["account"])
        db.execute("UPDATE accounts SET balance = balance + ?, seq = ? WHERE id = ?", values)
    return {"status": "booked"}


@app.post("/transfer")
def transfer() -> ResponseReturnValue:
    wanted = received()
    amount, payer, payee = wanted["amount"], wanted["from"], wanted["to"]
    with closing(connect()) as db:
        if is_done(db, "transfer", wanted["transfer_id"]):
            return {"status": "duplicate"}
        balances = dict(db.execute("SELECT id, balance FROM accounts WHERE id IN (?, ?)", (payer, payee)).fetchall())
        if payer not in balances or payee not in balances:
            return {"error": "no such account"}, 404
        if balances[payer] < amount:
            return {"error": "not enough"}, 409
        note(db, "transfer", wanted["transfer_id"])
        # A crash between the two loses the money.
        db.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", (amount, payer))
        db.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, payee))
    return {"status": "transferred"}


@app.post("/coupon/redeem")
def redeem() -> ResponseReturnValue:
    wanted = received()
    with closing(connect()) as db:
        if is_done(db, "redemption", wanted["redemption_id"]):
            return {"status": "duplicate"}
        row = db.execute("SELECT uses FROM coupons WHERE id = ?", (wanted["coupon"],)).fetchone()
        if row is None or row[0] < 1:
            return {"error": "used up"}, 409
        note(db, "redemption", wanted["redemption_id"])
        db.execute("UPDATE coupons SET uses = uses - 1 WHERE id = ?", (wanted["coupon"],))
    return {"status": "redeemed"}


@app.get("/accounts/<account>")
def read_account(account: str) -> ResponseReturnValue:
    with closing(connect()) as db:
        row = db.execute("SELECT balance, seq FROM accounts WHERE id = ?", (account,)).fetchone()
    return {"account": account, "balance": row[0], "seq": row[1]} if row else ({"error": "no such account"}, 404)


@app.get("/accounts/<one>/with/<other>")
def read_both(one: str, other: str) -> ResponseReturnValue:
    """By one statement: both balances of one moment."""
    with closing(connect()) as db:
        found = dict(db.execute("SELECT id, balance FROM accounts WHERE id IN (?, ?)", (one, other)).fetchall())
    if one not in found or other not in found:
        return {"error": "no such account"}, 404
    return {"one": found[one], "other": found[other]}


@app.get("/coupons/<coupon>")
def read_coupon(coupon: str) -> ResponseReturnValue:
    with closing(connect()) as db:
        row = db.execute("SELECT uses FROM coupons WHERE id = ?", (coupon,)).fetchone()
    return {"coupon": coupon, "left": row[0]} if row else ({"error": "no such coupon"}, 404)


@app.post("/accounts")
def create_account() -> ResponseReturnValue:
    require_loopback()
    balance = (request.get_json(silent=True) or {}).get("balance", 5)
    account = f"acc-{uuid.uuid4().hex[:12]}"
    with closing(connect()) as db:
        db.execute("INSERT INTO accounts VALUES (?, ?, 0)", (account, balance))
    return {"account": account, "balance": balance}, 201


@app.post("/coupons")
def create_coupon() -> ResponseReturnValue:
    require_loopback()
    left = (request.get_json(silent=True) or {}).get("left", 5)
    coupon = f"code-{uuid.uuid4().hex[:12]}"
    with closing(connect()) as db:
        db.execute("INSERT INTO coupons VALUES (?, ?)", (coupon, left))
    return {"coupon": coupon, "left": left}, 201
