"""Reservations, payments, transfers and coupons beside the orders of app.py, behind the same guard.

As there, the handlers say what is done, and nothing about races or order: whatever they write through `tx` happens once
for each message, or not at all.
"""

import secrets
import uuid
from contextlib import closing

from app import app, connect, guard, require_loopback
from flask import request
from flask.typing import ResponseReturnValue

from tocsin.guard import Signed, json_pointer, sequence
from tocsin.guard.stores.sqlite import Transaction

LARGEST = 1000


def done(status: str) -> ResponseReturnValue:
    """Made anew whenever a handler runs: a duplicate that shows the same receipt has not run it."""
    return {"status": status, "receipt": secrets.token_hex(8)}


def wrong() -> ResponseReturnValue:
    return {"error": f"wanted members of the right kinds: names in ASCII, and an amount from 1 to {LARGEST}"}, 400


@app.post("/api/reserve/<item>")
@guard.flask(key=json_pointer("/reservation_id"))
def reserve(_signed: Signed, tx: Transaction, item: str) -> ResponseReturnValue:
    # The condition is part of the write, here and below: nothing can change between looking and taking.
    if tx.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (item,)).rowcount == 0:
        return {"error": "out of stock"}, 409
    return done("reserved")


@app.post("/webhooks/payment")
@guard.flask(
    key=json_pointer("/event_id"),
    # An account takes no event that is older than the one it has: the guard answers that it is superseded.
    sequence=sequence(number=json_pointer("/seq"), stream=json_pointer("/account")),
)
def payment(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    match signed.json():
        case {"account": str(account), "seq": int(seq), "amount": int(amount)} if (
            account.isascii() and 0 < amount <= LARGEST
        ):
            book = "UPDATE accounts SET balance = balance + ?, seq = ? WHERE id = ?"
            if tx.execute(book, (amount, seq, account)).rowcount == 0:
                return {"error": "no such account"}, 404
            return done("booked")
    return wrong()


@app.post("/transfer")
@guard.flask(key=json_pointer("/transfer_id"))
def transfer(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    match signed.json():
        case {"from": str(payer), "to": str(payee), "amount": int(amount)} if (
            payer.isascii() and payee.isascii() and 0 < amount <= LARGEST
        ):
            # Looked for first: an answer commits what the handler has written, whatever it says.
            if tx.execute("SELECT 1 FROM accounts WHERE id = ?", (payee,)).fetchone() is None:
                return {"error": "no such account"}, 404
            take = "UPDATE accounts SET balance = balance - ? WHERE id = ? AND balance >= ?"
            if tx.execute(take, (amount, payer, amount)).rowcount == 0:
                return {"error": "not enough"}, 409
            tx.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, payee))
            return done("transferred")
    return wrong()


@app.post("/coupon/redeem")
@guard.flask(key=json_pointer("/redemption_id"))
def redeem(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    match signed.json():
        case {"coupon": str(coupon)} if coupon.isascii():
            if tx.execute("UPDATE coupons SET uses = uses - 1 WHERE id = ? AND uses > 0", (coupon,)).rowcount == 0:
                return {"error": "used up"}, 409
            return done("redeemed")
    return wrong()


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
