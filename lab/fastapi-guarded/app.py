"""The service of fastapi-vulnerable behind tocsin.guard: claim, order, stock and stored answer are one commit.

The endpoints say what an order and a cancellation do, and nothing about races: whatever they write through `tx` happens
once for each order_id, or not at all.
"""

import asyncio
import os
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request
from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from tocsin.guard import Guard, json_pointer
from tocsin.guard.stores.postgres import AsyncPostgresStore, AsyncTransaction
from tocsin.signing import KeyRing, Secret, preset

DATABASE = os.environ["LAB_DATABASE"]
# For what is not guarded: reading, setting up, resetting. The store opens its own.
CONNECTIONS = 4

store = AsyncPostgresStore(DATABASE)
guard = Guard(preset("tocsin-v1"), KeyRing.of(Secret.from_env("LAB_SECRET", key_id="lab")), store)
idle: asyncio.Queue[AsyncConnection[Any]] = asyncio.Queue()

# PostgreSQL's text holds no NUL, and a name that nobody can type is none.
Name = Annotated[str, Field(min_length=1, pattern=r"^[ -~]+$")]


class ItemIn(BaseModel):
    stock: int = 5


class CancelIn(BaseModel):
    order_id: Name
    item: Name


class OrderIn(CancelIn):
    qty: Annotated[int, Field(ge=1, le=1000)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    connections = [await AsyncConnection.connect(DATABASE, autocommit=True) for _ in range(CONNECTIONS)]
    for connection in connections:
        idle.put_nowait(connection)
    await store.migrate_async()
    await run("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
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


def require_loopback(request: Request) -> None:
    if request.client is None or request.client.host not in {"127.0.0.1", "::1"}:
        raise HTTPException(403)


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
    """Forget orders and items. The guard's claims stay: what was applied once is never applied again."""
    require_loopback(request)
    await run("DELETE FROM orders")
    await run("DELETE FROM items")
    return {"status": "reset"}
