"""Orders and cancellations on FastAPI and PostgreSQL: verify the signature, look, then write, as is often seen.

Each statement borrows a connection of the pool and commits by itself. No transaction, no unique constraint, no lock:
what lies between the SELECT and the INSERT is the race window, as wide as the database calls make it, no sleeps.
Reservations, payments, transfers and coupons are in others.py.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import others
from desk import connected, require_loopback, require_signature, run
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel


class ItemIn(BaseModel):
    stock: int = 5


class CancelIn(BaseModel):
    order_id: str
    item: str


class OrderIn(CancelIn):
    qty: int


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with connected():
        await run("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
        # order_id is deliberately not unique: the SELECT in order() is the only thing that looks for duplicates.
        await run("CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER)")
        await others.create_tables()
        yield


app = FastAPI(lifespan=lifespan)
app.include_router(others.router)


# FastAPI parses and validates the body before it calls the endpoint: what it refuses is a 422 without a signature.
@app.post("/order")
async def order(request: Request, wanted: OrderIn) -> dict[str, str]:
    await require_signature(request)
    if await run("SELECT 1 FROM orders WHERE order_id = %s", wanted.order_id):
        return {"status": "duplicate"}
    rows = await run("SELECT stock FROM items WHERE id = %s", wanted.item)
    if not rows or rows[0][0] < 1:
        raise HTTPException(409, "out of stock")
    # Whoever got here believes that the order is new and the stock is there, however many they are.
    await run("INSERT INTO orders VALUES (%s, %s, %s)", wanted.order_id, wanted.item, wanted.qty)
    # Between the two, everybody sees a piece that is both sold and in stock.
    await run("UPDATE items SET stock = stock - 1 WHERE id = %s", wanted.item)
    return {"status": "processed"}


@app.post("/cancel")
async def cancel(request: Request, wanted: CancelIn) -> dict[str, str]:
    await require_signature(request)
    if not await run("SELECT 1 FROM orders WHERE order_id = %s AND item = %s", wanted.order_id, wanted.item):
        raise HTTPException(404, "no such order")
    await run("DELETE FROM orders WHERE order_id = %s", wanted.order_id)
    await run("UPDATE items SET stock = stock + 1 WHERE id = %s", wanted.item)
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
    require_loopback(request)
    await run("DELETE FROM orders")
    await run("DELETE FROM items")
    await others.forget()
    return {"status": "reset"}
