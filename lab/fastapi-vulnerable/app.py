"""Orders and cancellations on FastAPI and PostgreSQL: verify the signature, look, then write, as is often seen.

Each statement borrows a connection of the pool and commits by itself. No transaction, no unique constraint, no lock:
what lies between the SELECT and the INSERT is the race window, as wide as the database calls make it, no sleeps.
"""

import asyncio
import hashlib
import hmac
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from psycopg import AsyncConnection
from pydantic import BaseModel

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = os.environ["LAB_DATABASE"]
CONNECTIONS = 16

idle: asyncio.Queue[AsyncConnection[Any]] = asyncio.Queue()


class ItemIn(BaseModel):
    stock: int = 5


class CancelIn(BaseModel):
    order_id: str
    item: str


class OrderIn(CancelIn):
    qty: int


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    connections = [await AsyncConnection.connect(DATABASE, autocommit=True) for _ in range(CONNECTIONS)]
    for connection in connections:
        idle.put_nowait(connection)
    await run("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
    # order_id is deliberately not unique: the SELECT in order() is the only thing that looks for duplicates.
    await run("CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT, qty INTEGER)")
    yield
    for connection in connections:
        await connection.close()


app = FastAPI(lifespan=lifespan)


async def run(statement: str, *values: object) -> list[Any]:
    """One statement on a connection of the pool, committed when it returns; its rows, if it has any."""
    connection = await idle.get()
    try:
        cursor = await connection.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []
    finally:
        idle.put_nowait(connection)


async def require_signature(request: Request) -> None:
    expected = hmac.new(SECRET, await request.body(), hashlib.sha256).hexdigest()
    # compare_digest of two str raises TypeError for anything outside ASCII: such a header is answered 500, not 401.
    if not hmac.compare_digest(request.headers.get("X-Signature", ""), expected):
        raise HTTPException(401, "bad signature")


def require_loopback(request: Request) -> None:
    if request.client is None or request.client.host not in {"127.0.0.1", "::1"}:
        raise HTTPException(403)


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
    rows = await run(
        "SELECT stock, (SELECT COUNT(*) FROM orders WHERE item = items.id) FROM items WHERE id = %s",
        item,
    )
    if not rows:
        raise HTTPException(404, "no such item")
    return {"item": item, "stock": rows[0][0], "sold": rows[0][1]}


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
    return {"status": "reset"}
