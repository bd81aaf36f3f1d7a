"""Orders in a SQLite file, WAL and synchronous FULL on both sides."""

import sqlite3

from bench.costs.orders.kept import Kept
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction

INSERT = "INSERT INTO orders (order_id, processed) VALUES (?, 1)"


def connected(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=20)
    db.execute("PRAGMA synchronous = FULL")
    return db


def write(db: sqlite3.Connection, order_id: str) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute(INSERT, (order_id,))
    db.execute("COMMIT")


class OnThreads:
    """Bare: a kept connection for whoever needs one, and SQLite's own wait for the write lock."""

    def __init__(self, url: str) -> None:
        self.store = SQLiteStore(url)
        self._kept = Kept(lambda: connected(url))

    def write(self, tx: Transaction, order_id: str) -> None:
        tx.execute(INSERT, (order_id,))

    def write_alone(self, order_id: str) -> None:
        with self._kept.lent() as db:
            write(db, order_id)


class OnTasks:
    """Bare: one connection, on the loop, which waits for the disk. No other request is in its way, and no thread."""

    def __init__(self, url: str) -> None:
        self.store = SQLiteStore(url)
        self._db = connected(url)

    async def write(self, tx: Transaction, order_id: str) -> None:
        tx.execute(INSERT, (order_id,))

    async def write_alone(self, order_id: str) -> None:
        write(self._db, order_id)
