"""FastAPI as its tutorial has it, without signature and claim: a kept connection a thread, WAL FULL, one INSERT."""

import os
import sqlite3
from pathlib import Path
from threading import local

from fastapi import FastAPI
from pydantic import BaseModel

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")
kept = local()
app = FastAPI()


class Order(BaseModel):
    order_id: str
    note: str


def connection() -> sqlite3.Connection:
    db: sqlite3.Connection | None = getattr(kept, "db", None)
    if db is None:
        db = kept.db = sqlite3.connect(DATABASE, isolation_level=None, timeout=30)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, processed INTEGER DEFAULT 0)")
    return db


@app.post("/order")
def order(received: Order) -> dict[str, str]:
    db = connection()
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO orders (order_id, processed) VALUES (?, 1)", (received.order_id,))
    db.execute("COMMIT")
    return {"status": "processed"}


@app.get("/ready")
def ready() -> dict[str, str]:
    connection()
    return {}
