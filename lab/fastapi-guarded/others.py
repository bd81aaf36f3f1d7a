"""Reservations, payments, transfers and coupons behind the guard: claim, writes and stored answer are one commit.

As in app.py the endpoints say what is done, and nothing about races; what is refused with an HTTPException has written
nothing.
"""

import secrets
import uuid
from typing import Annotated

from desk import Amount, Name, guard, require_loopback, run
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from tocsin.guard import json_pointer, sequence
from tocsin.guard.stores.postgres import AsyncTransaction

# Called otherwise than those of actix-guarded, beside which this service may work on one database.
TABLES = {
    "reserved": "reservation_id TEXT, item TEXT",
    "balances": "id TEXT PRIMARY KEY, balance BIGINT NOT NULL, seq BIGINT NOT NULL",
    "payments": "event_id TEXT, account TEXT, amount BIGINT",
    "transferred": "transfer_id TEXT, source TEXT, target TEXT, amount BIGINT",
    "coupon_uses": "id TEXT PRIMARY KEY, uses INTEGER NOT NULL",
    "redeemed": "redemption_id TEXT, coupon TEXT",
}

router = APIRouter()


class AccountIn(BaseModel):
    balance: int = 5


class CouponIn(BaseModel):
    uses: int = 5


class ReservationIn(BaseModel):
    reservation_id: Name


class PaymentIn(BaseModel):
    event_id: Name
    account: Name
    seq: Annotated[int, Field(ge=1, le=1_000_000)]
    amount: Amount


class TransferIn(BaseModel):
    transfer_id: Name
    source: Name
    target: Name
    amount: Amount


class RedemptionIn(BaseModel):
    redemption_id: Name
    coupon: Name


async def create_tables() -> None:
    for name, columns in TABLES.items():
        await run(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")


async def forget() -> None:
    for name in TABLES:
        await run(f"DELETE FROM {name}")


def done(status: str) -> dict[str, str]:
    """Made anew whenever an endpoint runs: a duplicate that shows the same receipt has not run it."""
    return {"status": status, "receipt": secrets.token_hex(8)}


@router.post("/api/reserve/{item}")
@guard.fastapi(key=json_pointer("/reservation_id"))
async def reserve(tx: AsyncTransaction, item: Name, wanted: ReservationIn) -> dict[str, str]:
    # The condition is part of the write: nothing can change between looking at the stock and taking from it.
    taken = await tx.execute("UPDATE items SET stock = stock - 1 WHERE id = %s AND stock > 0", (item,))
    if taken.rowcount == 0:
        raise HTTPException(409, "out of stock")
    await tx.execute("INSERT INTO reserved VALUES (%s, %s)", (wanted.reservation_id, item))
    return done("reserved")


# This sender means an event to be left out once a newer one has been applied: it is answered "superseded", and does not
# run. Where every event counts, key= alone is right (docs/guard-order.md).
@router.post("/webhooks/payment")
@guard.fastapi(
    key=json_pointer("/event_id"),
    sequence=sequence(number=json_pointer("/seq"), stream=json_pointer("/account")),
)
async def payment(tx: AsyncTransaction, event: PaymentIn) -> dict[str, str]:
    booking = "UPDATE balances SET balance = balance + %s, seq = %s WHERE id = %s"
    booked = await tx.execute(booking, (event.amount, event.seq, event.account))
    if booked.rowcount == 0:
        raise HTTPException(404, "no such account")
    await tx.execute("INSERT INTO payments VALUES (%s, %s, %s)", (event.event_id, event.account, event.amount))
    return done("booked")


@router.post("/transfer")
@guard.fastapi(key=json_pointer("/transfer_id"))
async def transfer(tx: AsyncTransaction, wanted: TransferIn) -> dict[str, str]:
    take = "UPDATE balances SET balance = balance - %s WHERE id = %s AND balance >= %s"
    taken = await tx.execute(take, (wanted.amount, wanted.source, wanted.amount))
    if taken.rowcount == 0:
        raise HTTPException(409, "not enough")
    give = "UPDATE balances SET balance = balance + %s WHERE id = %s"
    given = await tx.execute(give, (wanted.amount, wanted.target))
    if given.rowcount == 0:
        # What has been taken is undone.
        raise HTTPException(404, "no such account")
    values = (wanted.transfer_id, wanted.source, wanted.target, wanted.amount)
    await tx.execute("INSERT INTO transferred VALUES (%s, %s, %s, %s)", values)
    return done("transferred")


@router.post("/coupon/redeem")
@guard.fastapi(key=json_pointer("/redemption_id"))
async def redeem(tx: AsyncTransaction, wanted: RedemptionIn) -> dict[str, str]:
    used = await tx.execute("UPDATE coupon_uses SET uses = uses - 1 WHERE id = %s AND uses > 0", (wanted.coupon,))
    if used.rowcount == 0:
        raise HTTPException(409, "used up")
    await tx.execute("INSERT INTO redeemed VALUES (%s, %s)", (wanted.redemption_id, wanted.coupon))
    return done("redeemed")


@router.get("/accounts/{account}")
async def read_account(account: str) -> dict[str, object]:
    paid = "(SELECT COALESCE(SUM(amount), 0)::bigint FROM transferred WHERE source = balances.id)"
    rows = await run(f"SELECT balance, seq, {paid} FROM balances WHERE id = %s", account)
    if not rows:
        raise HTTPException(404, "no such account")
    return {"account": account, "balance": rows[0][0], "seq": rows[0][1], "paid": rows[0][2]}


@router.get("/coupons/{coupon}")
async def read_coupon(coupon: str) -> dict[str, object]:
    redeemed = "(SELECT COUNT(*) FROM redeemed WHERE coupon = coupon_uses.id)"
    rows = await run(f"SELECT uses, {redeemed} FROM coupon_uses WHERE id = %s", coupon)
    if not rows:
        raise HTTPException(404, "no such coupon")
    return {"coupon": coupon, "left": rows[0][0], "redeemed": rows[0][1]}


@router.post("/accounts", status_code=201)
async def create_account(request: Request, wanted: AccountIn) -> dict[str, object]:
    require_loopback(request)
    account = f"acc-{uuid.uuid4().hex[:12]}"
    await run("INSERT INTO balances VALUES (%s, %s, 0)", account, wanted.balance)
    return {"account": account, "balance": wanted.balance}


@router.post("/coupons", status_code=201)
async def create_coupon(request: Request, wanted: CouponIn) -> dict[str, object]:
    require_loopback(request)
    coupon = f"code-{uuid.uuid4().hex[:12]}"
    await run("INSERT INTO coupon_uses VALUES (%s, %s)", coupon, wanted.uses)
    return {"coupon": coupon, "uses": wanted.uses}
