"""Reservations, payments, transfers and coupons, as app.py does orders: verify the signature, look, then write.

Whoever has looked believes what was seen, however many they are. Every message is written down before its effect, so
that between the two everybody sees what no order of the messages could give.
"""

import uuid

from desk import require_loopback, require_signature, run
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

# As in app.py only what is set up is unique: the SELECT of each route is all that looks for duplicates.
TABLES = {
    "reserved": "reservation_id TEXT, item TEXT",
    "balances": "id TEXT PRIMARY KEY, balance BIGINT NOT NULL, seq BIGINT NOT NULL",
    "payments": "event_id TEXT, account TEXT, amount BIGINT",
    "transferred": "transfer_id TEXT, source TEXT, target TEXT, amount BIGINT",
    "coupon_uses": "id TEXT PRIMARY KEY, uses INTEGER NOT NULL",
    "redeemed": "redemption_id TEXT, coupon TEXT",
}
DUPLICATE = {"status": "duplicate"}

router = APIRouter()


class AccountIn(BaseModel):
    balance: int = 5


class CouponIn(BaseModel):
    uses: int = 5


class ReservationIn(BaseModel):
    reservation_id: str


class PaymentIn(BaseModel):
    event_id: str
    account: str
    seq: int
    amount: int


class TransferIn(BaseModel):
    transfer_id: str
    source: str
    target: str
    amount: int


class RedemptionIn(BaseModel):
    redemption_id: str
    coupon: str


async def create_tables() -> None:
    for name, columns in TABLES.items():
        await run(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")


async def forget() -> None:
    for name in TABLES:
        await run(f"DELETE FROM {name}")


@router.post("/api/reserve/{item}")
async def reserve(request: Request, item: str, wanted: ReservationIn) -> dict[str, str]:
    await require_signature(request)
    if await run("SELECT 1 FROM reserved WHERE reservation_id = %s", wanted.reservation_id):
        return DUPLICATE
    rows = await run("SELECT stock FROM items WHERE id = %s", item)
    if not rows or rows[0][0] < 1:
        raise HTTPException(409, "out of stock")
    await run("INSERT INTO reserved VALUES (%s, %s)", wanted.reservation_id, item)
    await run("UPDATE items SET stock = stock - 1 WHERE id = %s", item)
    return {"status": "reserved"}


@router.post("/webhooks/payment")
async def payment(request: Request, event: PaymentIn) -> dict[str, str]:
    await require_signature(request)
    if await run("SELECT 1 FROM payments WHERE event_id = %s", event.event_id):
        return DUPLICATE
    rows = await run("SELECT seq FROM balances WHERE id = %s", event.account)
    if not rows:
        raise HTTPException(404, "no such account")
    if event.seq <= rows[0][0]:
        raise HTTPException(409, "a newer event has been applied")
    await run("INSERT INTO payments VALUES (%s, %s, %s)", event.event_id, event.account, event.amount)
    # Of two events that were both newer than the applied one, the one that writes last stays.
    booking = "UPDATE balances SET balance = balance + %s, seq = %s WHERE id = %s"
    await run(booking, event.amount, event.seq, event.account)
    return {"status": "booked"}


@router.post("/transfer")
async def transfer(request: Request, wanted: TransferIn) -> dict[str, str]:
    await require_signature(request)
    if await run("SELECT 1 FROM transferred WHERE transfer_id = %s", wanted.transfer_id):
        return DUPLICATE
    source = await run("SELECT balance FROM balances WHERE id = %s", wanted.source)
    target = await run("SELECT balance FROM balances WHERE id = %s", wanted.target)
    if not source or not target:
        raise HTTPException(404, "no such account")
    if source[0][0] < wanted.amount:
        raise HTTPException(409, "not enough")
    values = (wanted.transfer_id, wanted.source, wanted.target, wanted.amount)
    await run("INSERT INTO transferred VALUES (%s, %s, %s, %s)", *values)
    # What was read is written back: of two transfers at once, one is lost on either side.
    await run("UPDATE balances SET balance = %s WHERE id = %s", source[0][0] - wanted.amount, wanted.source)
    await run("UPDATE balances SET balance = %s WHERE id = %s", target[0][0] + wanted.amount, wanted.target)
    return {"status": "transferred"}


@router.post("/coupon/redeem")
async def redeem(request: Request, wanted: RedemptionIn) -> dict[str, str]:
    await require_signature(request)
    if await run("SELECT 1 FROM redeemed WHERE redemption_id = %s", wanted.redemption_id):
        return DUPLICATE
    rows = await run("SELECT uses FROM coupon_uses WHERE id = %s", wanted.coupon)
    if not rows or rows[0][0] < 1:
        raise HTTPException(409, "used up")
    await run("INSERT INTO redeemed VALUES (%s, %s)", wanted.redemption_id, wanted.coupon)
    await run("UPDATE coupon_uses SET uses = uses - 1 WHERE id = %s", wanted.coupon)
    return {"status": "redeemed"}


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
