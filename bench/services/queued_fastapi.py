"""FastAPI without signature and claim, behind one writer thread that commits whatever has queued up: the honest peer.

It shows what a write queue alone gives: the leanest one, which knows the one statement that it runs. `sharing_fastapi`
has the guard's own queue, in which handlers write.
"""

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Condition, Thread

from fastapi import FastAPI
from pydantic import BaseModel

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
MOST = 64

queue: deque[tuple[str, asyncio.Future[None]]] = deque()
filled = Condition()


class Order(BaseModel):
    order_id: str
    note: str


def write(loop: asyncio.AbstractEventLoop) -> None:
    """Commit up to MOST orders at once, and wake the loop once for all of them."""
    db = sqlite3.connect(DATABASE, isolation_level=None, timeout=30)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")
    while True:
        with filled:
            filled.wait_for(lambda: queue)
            batch = [queue.popleft() for _ in range(min(MOST, len(queue)))]
        db.execute("BEGIN IMMEDIATE")
        for order_id, _ in batch:
            db.execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (order_id,))
        db.execute("COMMIT")
        loop.call_soon_threadsafe(wake, [done for _, done in batch])


def wake(waiting: list[asyncio.Future[None]]) -> None:
    """On the loop: everybody whose order is committed."""
    for done in waiting:
        if not done.done():
            done.set_result(None)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    Thread(target=write, args=(asyncio.get_running_loop(),), daemon=True).start()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/order")
async def order(received: Order) -> dict[str, str]:
    done = asyncio.get_running_loop().create_future()
    with filled:
        queue.append((received.order_id, done))
        filled.notify()
    await done
    return {"status": "processed"}


@app.get("/ready")
async def ready() -> dict[str, str]:
    return {}
