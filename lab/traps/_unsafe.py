"""Unsafe but quiet: answers look right, and one order is applied more than once all the same. Only the state tells.

Where a window would hang on the machine it is forced wide, by as much as a call to another service takes.
"""

import queue
import sqlite3
import threading
import time
from contextlib import closing
from functools import cached_property

from lab.traps._desk import DUPLICATE, OUT_OF_STOCK, PROCESSED, Answer, Desk, Order, connect, has_noted, is_there, took

WINDOW_S = 0.01
LEASE_S = 0.01
# Several times the lease: whoever waits for it gets it while the first one is at work still.
WORK_S = 0.04
POLL_S = 0.002
BATCH_S = 0.1


class SaysDuplicate(Desk):
    """The answer says duplicate, and the piece is gone."""

    def applied(self, db: sqlite3.Connection, order: Order) -> Answer:
        was_there = is_there(db, order)
        if not took(db, order):
            return OUT_OF_STOCK
        return DUPLICATE if was_there else PROCESSED


class Spelling(Desk):
    """A message is known by the text of its signature, which has more than one spelling."""

    def is_signature(self, given: str, expected: str) -> bool:
        return given.lower() == expected

    def applied(self, db: sqlite3.Connection, order: Order) -> Answer:
        if not has_noted(db, order.signature):
            return DUPLICATE
        return PROCESSED if took(db, order) else OUT_OF_STOCK


class MutexPerProcess(Desk):
    """A lock that every process has one of."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def order(self, order: Order) -> Answer:
        with self._lock, closing(connect()) as db:
            if is_there(db, order):
                return DUPLICATE
            row = db.execute("SELECT stock FROM items WHERE id = ?", (order.item,)).fetchone()
            if row is None or row[0] < 1:
                return OUT_OF_STOCK
            time.sleep(WINDOW_S)
            db.execute("INSERT INTO orders VALUES (?, ?)", (order.order_id, order.item))
            db.execute("UPDATE items SET stock = stock - 1 WHERE id = ?", (order.item,))
        return PROCESSED


class ExpiringLock(Desk):
    """A lock on the order that is anybody's again before its holder is done."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._leases: dict[str, float] = {}

    def order(self, order: Order) -> Answer:
        lease = self._lease(order.order_id)
        try:
            with closing(connect()) as db:
                if is_there(db, order):
                    return DUPLICATE
                time.sleep(WORK_S)
                db.execute("BEGIN IMMEDIATE")
                answer = PROCESSED if took(db, order) else OUT_OF_STOCK
                db.execute("COMMIT")
            return answer
        finally:
            with self._lock:
                if self._leases.get(order.order_id) == lease:
                    del self._leases[order.order_id]

    def _lease(self, order_id: str) -> float:
        """Wait until the order is nobody's; until when it is ours."""
        while True:
            with self._lock:
                now = time.monotonic()
                if self._leases.get(order_id, now) <= now:
                    self._leases[order_id] = now + LEASE_S
                    return now + LEASE_S
            time.sleep(POLL_S)


class ClaimAfterEffect(Desk):
    """The order is remembered in a second transaction, after the one that takes the piece."""

    def order(self, order: Order) -> Answer:
        with closing(connect()) as db:
            if db.execute("SELECT 1 FROM notes WHERE name = ?", (order.order_id,)).fetchone():
                return DUPLICATE
            db.execute("BEGIN IMMEDIATE")
            is_taken = took(db, order)
            db.execute("COMMIT")
            if not is_taken:
                return OUT_OF_STOCK
            time.sleep(WINDOW_S)
            has_noted(db, order.order_id)
        return PROCESSED


class Queued(Desk):
    """Looked at on arrival, applied from a queue by somebody who does not look again."""

    @cached_property
    def _queue(self) -> "queue.SimpleQueue[Order]":
        waiting: queue.SimpleQueue[Order] = queue.SimpleQueue()
        threading.Thread(target=self._apply, args=(waiting,), daemon=True).start()
        return waiting

    def order(self, order: Order) -> Answer:
        with closing(connect()) as db:
            if is_there(db, order):
                return DUPLICATE
        if not self.stock(order.item):
            return OUT_OF_STOCK
        self._queue.put(order)
        return {"status": "accepted"}, 202

    def _apply(self, waiting: "queue.SimpleQueue[Order]") -> None:
        while True:
            batch = [waiting.get()]
            time.sleep(BATCH_S)
            batch += [waiting.get() for _ in range(waiting.qsize())]
            with closing(connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                for order in batch:
                    db.execute("INSERT INTO orders VALUES (?, ?)", (order.order_id, order.item))
                    db.execute("UPDATE items SET stock = stock - 1 WHERE id = ?", (order.item,))
                db.execute("COMMIT")
