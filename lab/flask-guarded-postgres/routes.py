"""Reservations, payments, transfers and coupons beside the orders of app.py, behind the same guard.

As there, the handlers say what is done, and nothing about races or order: whatever they write through `tx` happens once
for each message, or not at all, whichever process it comes to.
"""

import secrets
import uuid

from app import app, guard, is_name, require_loopback, run
from flask import request
from flask.typing import ResponseReturnValue

from tocsin.guard import Signed, json_pointer, sequence
from tocsin.guard.stores.postgres import Transaction

LARGEST = 1000


def done(status: str) -> ResponseReturnValue:
    """Made anew whenever a handler runs: a duplicate that shows the same receipt has not run it."""
    return {"status": status, "receipt": secrets.token_hex(8)}


def wrong() -> ResponseReturnValue:
    return {"error": f"wanted members of the right kinds: names in ASCII, and an amount from 1 to {LARGEST}"}, 400


def is_amount(number: int) -> bool:
    """True is an int to Python, and none to PostgreSQL."""
    return not isinstance(number, bool) and 0 < number <= LARGEST


@app.post("/api/reserve/<item>")
@guard.flask(key=json_pointer("/reservation_id"))
def reserve(_signed: Signed, tx: Transaction, item: str) -> ResponseReturnValue:
    if not is_name(item):
        return wrong()
    # The condition is part of the write, here and below: nothing can change between looking and taking.
    if tx.execute("UPDATE items SET stock = stock - 1 WHERE id = %s AND stock > 0", (item,)).rowcount == 0:
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
        case {"account": str(account), "seq": int(seq), "amount": int(amount)} if is_name(account) and is_amount(
            amount
        ):
            book = "UPDATE accounts SET balance = balance + %s, seq = %s WHERE id = %s"
            if tx.execute(book, (amount, seq, account)).rowcount == 0:
                return {"error": "no such account"}, 404
            return done("booked")
    return wrong()


@app.post("/transfer")
@guard.flask(key=json_pointer("/transfer_id"))
def transfer(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    match signed.json():
        case {"from": str(payer), "to": str(payee), "amount": int(amount)} if (
            is_name(payer) and is_name(payee) and is_amount(amount)
        ):
            # Both rows are locked in one order for all, so that two transfers in opposite directions wait for each
            # other and not both for ever.
            lock = "SELECT id, balance FROM accounts WHERE id IN (%s, %s) ORDER BY id FOR UPDATE"
            balances = dict(tx.execute(lock, (payer, payee)).fetchall())
            if payer not in balances or payee not in balances:
                return {"error": "no such account"}, 404
            if balances[payer] < amount:
                return {"error": "not enough"}, 409
            tx.execute("UPDATE accounts SET balance = balance - %s WHERE id = %s", (amount, payer))
            tx.execute("UPDATE accounts SET balance = balance + %s WHERE id = %s", (amount, payee))
            return done("transferred")
    return wrong()


@app.post("/coupon/redeem")
@guard.flask(key=json_pointer("/redemption_id"))
def redeem(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    match signed.json():
        case {"coupon": str(coupon)} if is_name(coupon):
            if tx.execute("UPDATE coupons SET uses = uses - 1 WHERE id = %s AND uses > 0", (coupon,)).rowcount == 0:
                return {"error": "used up"}, 409
            return done("redeemed")
    return wrong()


@app.get("/accounts/<account>")
def read_account(account: str) -> ResponseReturnValue:
    rows = run("SELECT balance, seq FROM accounts WHERE id = %s", account) if is_name(account) else []
    if not rows:
        return {"error": "no such account"}, 404
    return {"account": account, "balance": rows[0][0], "seq": rows[0][1]}


@app.get("/accounts/<one>/with/<other>")
def read_both(one: str, other: str) -> ResponseReturnValue:
    """By one statement: both balances of one moment."""
    both = "SELECT id, balance FROM accounts WHERE id IN (%s, %s)"
    found = dict(run(both, one, other)) if is_name(one) and is_name(other) else {}
    if one not in found or other not in found:
        return {"error": "no such account"}, 404
    return {"one": found[one], "other": found[other]}


@app.get("/coupons/<coupon>")
def read_coupon(coupon: str) -> ResponseReturnValue:
    rows = run("SELECT uses FROM coupons WHERE id = %s", coupon) if is_name(coupon) else []
    return {"coupon": coupon, "left": rows[0][0]} if rows else ({"error": "no such coupon"}, 404)


@app.post("/accounts")
def create_account() -> ResponseReturnValue:
    require_loopback()
    balance = (request.get_json(silent=True) or {}).get("balance", 5)
    account = f"acc-{uuid.uuid4().hex[:12]}"
    run("INSERT INTO accounts VALUES (%s, %s, 0)", account, balance)
    return {"account": account, "balance": balance}, 201


@app.post("/coupons")
def create_coupon() -> ResponseReturnValue:
    require_loopback()
    left = (request.get_json(silent=True) or {}).get("left", 5)
    coupon = f"code-{uuid.uuid4().hex[:12]}"
    run("INSERT INTO coupons VALUES (%s, %s)", coupon, left)
    return {"coupon": coupon, "left": left}, 201
