"""The service of fastapi-vulnerable behind tocsin.guard: claim, order, stock and stored answer are one commit.

The endpoints say what an order and a cancellation do, and nothing about races: whatever they write through `tx` happens
once for each order_id, or not at all. Reservations, payments, transfers and coupons are in others.py.
"""

import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import others
from desk import Amount, Name, connected, guard, require_loopback, run
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from tocsin.guard import json_pointer
from tocsin.guard.stores.postgres import AsyncTransaction


class ItemIn(BaseModel):
    stock: int = 5


class CancelIn(BaseModel):
    order_id: Name
    item: Name


class OrderIn(CancelIn):
    qty: Amount


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with connected():
        await run("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
        await run("CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER)")
        await others.create_tables()
        yield


app = FastAPI(lifespan=lifespan)
app.include_router(others.router)


@app.post("/order")
@guard.fastapi(key=json_pointer("/order_id"))
async def order(tx: AsyncTransaction, wanted: OrderIn) -> dict[str, str]:
    # The condition is part of the write: nothing can change between looking at the stock and taking from it.
    taken = await tx.execute("UPDATE items SET stock = stock - 1 WHERE id = %s AND stock > 0", (wanted.item,))
    if taken.rowcount == 0:
        raise HTTPException(409, "out of stock")
    await tx.execute("INSERT INTO orders VALUES (%s, %s, %s)", (wanted.order_id, wanted.item, wanted.qty))
    # Made anew whenever this runs: a duplicate that shows the same receipt has not run it.
    return {"status": "processed", "receipt": secrets.token_hex(8)}


@app.post("/cancel")
@guard.fastapi(key=json_pointer("/order_id"))
async def cancel(tx: AsyncTransaction, wanted: CancelIn) -> dict[str, str]:
    gone = await tx.execute("DELETE FROM orders WHERE order_id = %s AND item = %s", (wanted.order_id, wanted.item))
    if gone.rowcount == 0:
        raise HTTPException(404, "no such order")
    await tx.execute("UPDATE items SET stock = stock + 1 WHERE id = %s", (wanted.item,))
    return {"status": "cancelled"}


@app.get("/items/{item}")
async def read_item(item: str) -> dict[str, object]:
    sold, reserved = (f"(SELECT COUNT(*) FROM {table} WHERE item = items.id)" for table in ("orders", "reserved"))
    rows = await run(f"SELECT stock, {sold}, {reserved} FROM items WHERE id = %s", item)
    if not rows:
        raise HTTPException(404, "no such item")
    return {"item": item, "stock": rows[0][0], "sold": rows[0][1], "reserved": rows[0][2]}


@app.get("/orders/{order_id}")
async def read_order(order_id: str) -> dict[str, object]:
    [(count,)] = await run("SELECT COUNT(*) FROM orders WHERE order_id = %s", order_id)
    return {"order_id": order_id, "count": count}


@app.post("/items", status_code=201)
async def create_item(request: Request, wanted: ItemIn) -> dict[str, object]:
    require_loopback(request)
    item = f"sku-{uuid.uuid4().hex[:12]}"
    await run("INSERT INTO items VALUES (%s, %s)", item, wanted.stock)
    return {"item": item, "stock": wanted.stock}


@app.post("/__reset")
async def reset(request: Request) -> dict[str, str]:
    """Forget everything but the guard's claims and numbers: what was applied once is never applied again."""
    require_loopback(request)
    await run("DELETE FROM orders")
    await run("DELETE FROM items")
    await others.forget()
    return {"status": "reset"}
