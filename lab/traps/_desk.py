"""Orders and stock in SQLite, done right: look, take and remember are one transaction under the write lock.

Rule: every trap is this desk with one thing changed, so that whatever a scan says about it is about that thing.
"""

import os
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

DATABASE = Path(os.environ["LAB_DATA"], "orders.db")

Said: TypeAlias = Mapping[str, object]
Answer: TypeAlias = "tuple[Said, int] | tuple[Said, int, Mapping[str, str]]"

DUPLICATE: Answer = ({"status": "duplicate"}, 200)
OUT_OF_STOCK: Answer = ({"error": "out of stock"}, 409)
PROCESSED: Answer = ({"status": "processed"}, 200)


@dataclass(frozen=True, slots=True)
class Order:
    """A well-signed order, and the text of the signature that came with it."""

    order_id: str
    item: str
    signature: str


def connect() -> sqlite3.Connection:
    """A connection of this request alone: 5 s busy timeout, autocommit until BEGIN."""
    return sqlite3.connect(DATABASE, isolation_level=None)


class Desk:
    """What a service does with orders; the traps are its subclasses."""

    def __init__(self) -> None:
        with closing(connect()) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
            # Not unique, and not one's own: what happens twice can be counted.
            db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT, item TEXT)")
            db.execute("CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT)")

    def is_signature(self, given: str, expected: str) -> bool:
        """Whether a header's text is the signature, in the one spelling that it has."""
        return given == expected

    def order(self, order: Order) -> Answer:
        with closing(connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            answer = self.applied(db, order)
            db.execute("COMMIT")
        return answer

    def applied(self, db: sqlite3.Connection, order: Order) -> Answer:
        """Look, take and remember; the write lock is held."""
        if is_there(db, order):
            return DUPLICATE
        return PROCESSED if took(db, order) else OUT_OF_STOCK

    def stock(self, item: str) -> int | None:
        with closing(connect()) as db:
            row = db.execute("SELECT stock FROM items WHERE id = ?", (item,)).fetchone()
        return None if row is None else int(row[0])

    def orders(self, order_id: str) -> int:
        with closing(connect()) as db:
            return int(db.execute("SELECT COUNT(*) FROM orders WHERE order_id = ?", (order_id,)).fetchone()[0])

    def new_item(self, stock: int) -> str:
        item = f"sku-{uuid.uuid4().hex[:12]}"
        with closing(connect()) as db:
            db.execute("INSERT INTO items VALUES (?, ?)", (item, stock))
        return item

    def reset(self) -> None:
        """Forget items. Orders and notes stay: what was applied once is never applied again."""
        with closing(connect()) as db:
            db.execute("DELETE FROM items")


def is_there(db: sqlite3.Connection, order: Order) -> bool:
    """Whether the order has been applied."""
    return db.execute("SELECT 1 FROM orders WHERE order_id = ?", (order.order_id,)).fetchone() is not None


def took(db: sqlite3.Connection, order: Order) -> bool:
    """Take a piece, if there is one, and write the order."""
    if db.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (order.item,)).rowcount == 0:
        return False
    db.execute("INSERT INTO orders VALUES (?, ?)", (order.order_id, order.item))
    return True


def has_noted(db: sqlite3.Connection, name: str, value: str = "") -> bool:
    """Whether this name is new, and is noted now."""
    return db.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (name, value)).rowcount == 1
