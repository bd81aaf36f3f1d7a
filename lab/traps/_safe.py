"""Safe but strange: one order is applied once, whatever the answers look like. Naming any of these a race is wrong."""

import os
import queue
import secrets
import sqlite3
import threading
import time
import uuid
from contextlib import closing
from functools import cached_property

from lab.traps._desk import OUT_OF_STOCK, Answer, Desk, Order, connect, has_noted, is_there, took

AT_ONCE = 4
# Long enough for a burst to find all places taken.
BUSY_S = 0.01
SLOW_S = 0.04
LATER_S = 0.5
CACHED_S = 0.08


class RandomIds(Desk):
    """Every answer, a duplicate's too, shows ids and an instant that no other answer shows."""

    def order(self, order: Order) -> Answer:
        said, status, *_ = super().order(order)
        shown = {"request_id": str(uuid.uuid4()), "receipt": secrets.token_hex(8), "at_ns": time.time_ns()}
        return {**said, **shown}, status, {"X-Request-Id": str(uuid.uuid4())}


class Busy(Desk):
    """More than a few orders at once: come again later."""

    status = 429

    def __init__(self) -> None:
        super().__init__()
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def order(self, order: Order) -> Answer:
        if not self._places.acquire(blocking=False):
            return {"error": "come again later"}, self.status, {"Retry-After": "1"}
        try:
            time.sleep(BUSY_S)
            return super().order(order)
        finally:
            self._places.release()


class Unavailable(Busy):
    """The same, in words that a client takes for a server error."""

    status = 503


class SlowWorker(Desk):
    """One of two processes is slow: answers come in any order, and half of them late."""

    @cached_property
    def _is_slow(self) -> bool:
        # Not in __init__: that runs before gunicorn forks its workers.
        with closing(connect()) as db:
            return has_noted(db, f"the slow one is {os.getppid()}'s")

    def order(self, order: Order) -> Answer:
        if self._is_slow:
            time.sleep(SLOW_S)
        return super().order(order)


class Conflict(Desk):
    """A duplicate of an order that is in work is refused with 409."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._in_work: set[str] = set()

    def order(self, order: Order) -> Answer:
        with self._lock:
            if order.order_id in self._in_work:
                return {"error": "this order is in work"}, 409
            self._in_work.add(order.order_id)
        try:
            return super().order(order)
        finally:
            with self._lock:
                self._in_work.remove(order.order_id)


class SameAnswer(Desk):
    """Every duplicate gets the first one's answer, letter for letter: only the state tells them apart."""

    def applied(self, db: sqlite3.Connection, order: Order) -> Answer:
        if not is_there(db, order):
            if not took(db, order):
                return OUT_OF_STOCK
            has_noted(db, order.order_id, secrets.token_hex(8))
        (receipt,) = db.execute("SELECT value FROM notes WHERE name = ?", (order.order_id,)).fetchone()
        return {"status": "processed", "receipt": receipt}, 200


class Later(Desk):
    """The answer is 202, and the stock changes half a second later. The order is remembered at once."""

    def __init__(self) -> None:
        super().__init__()
        with closing(connect()) as db:
            db.execute("CREATE TABLE IF NOT EXISTS shown (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")

    @cached_property
    def _due(self) -> "queue.SimpleQueue[tuple[float, str]]":
        due: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
        threading.Thread(target=self._show, args=(due,), daemon=True).start()
        return due

    def order(self, order: Order) -> Answer:
        said, status, *_ = super().order(order)
        if said.get("status") != "processed":
            return said, status
        self._due.put((time.monotonic() + LATER_S, order.item))
        return {"status": "accepted"}, 202

    def _show(self, due: "queue.SimpleQueue[tuple[float, str]]") -> None:
        while True:
            at, item = due.get()
            time.sleep(max(0.0, at - time.monotonic()))
            with closing(connect()) as db:
                db.execute("UPDATE shown SET stock = stock - 1 WHERE id = ?", (item,))

    def stock(self, item: str) -> int | None:
        with closing(connect()) as db:
            row = db.execute("SELECT stock FROM shown WHERE id = ?", (item,)).fetchone()
        return None if row is None else int(row[0])

    def new_item(self, stock: int) -> str:
        item = super().new_item(stock)
        with closing(connect()) as db:
            db.execute("INSERT INTO shown VALUES (?, ?)", (item, stock))
        return item


class CachedReads(Desk):
    """What is read may be a little old."""

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[str, tuple[float, int | None]] = {}

    def stock(self, item: str) -> int | None:
        now = time.monotonic()
        read_at, found = self._cache.get(item, (-CACHED_S, None))
        if now - read_at < CACHED_S:
            return found
        found = super().stock(item)
        self._cache[item] = (now, found)
        return found
