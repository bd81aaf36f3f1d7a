"""The order endpoint behind guard.fastapi, `async def`: verified, claimed, written and answered in one commit."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

from tocsin.guard import Guard, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction
from tocsin.signing import KeyRing, Secret, preset

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
keys = KeyRing.of(Secret.from_env("LAB_SECRET"))
guard = Guard(preset("hex-sha256-body"), keys, SQLiteStore(DATABASE))
app = FastAPI()

with closing(sqlite3.connect(DATABASE, timeout=30)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")


class Order(BaseModel):
    order_id: str
    note: str


@app.post("/order")
@guard.fastapi(key=json_pointer("/order_id"))
async def order(received: Order, tx: Transaction) -> dict[str, str]:
    tx.execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (received.order_id,))
    return {"status": "processed"}


@app.get("/ready")
async def ready() -> dict[str, str]:
    return {}
