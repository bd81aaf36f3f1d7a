"""FastAPI without signature and claim, behind the very write queue of the guard: its turns, its groups, its savepoints.

What the guard costs beside it is verification, claim and stored answer. `queued_fastapi` has the leanest queue there
can be in its place, which knows what it writes and runs no handler.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

from tocsin.guard.stores.sqlite._schema import prepare
from tocsin.guard.stores.sqlite._write_turns import WriteTurns

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
WAIT_S = 30.0
prepare(DATABASE, mode="rwc")
turns = WriteTurns(DATABASE, None)
app = FastAPI()

with closing(sqlite3.connect(DATABASE, timeout=30)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")


class Order(BaseModel):
    order_id: str
    note: str


@app.post("/order")
async def order(received: Order) -> dict[str, str]:
    under_way = turns.ready(WAIT_S)
    if under_way is not None:
        await under_way
    group = await turns.begin_async(WAIT_S, is_alone=False)
    writer = group.writer
    savepoint = writer.open_savepoint() if group.is_shared else None
    writer.connection.execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (received.order_id,))
    if savepoint is not None:
        writer.release_savepoint(savepoint)
    await turns.keep_async(group, WAIT_S)
    return {"status": "processed"}


@app.get("/ready")
async def ready() -> dict[str, str]:
    return {}
