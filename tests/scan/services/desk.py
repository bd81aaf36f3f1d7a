"""An order desk: a signed service in memory, correct as it stands. Each step is a method, so a twin can lack it."""

import hashlib
import hmac
import json
import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

SECRET = "desk-canary-7d1f40c2b9e8"


@dataclass(frozen=True)
class Asked:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given == name.lower()]

    @property
    def signature(self) -> str:
        return "".join(self.values("X-Signature")[:1])

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True)
class Answer:
    """What is answered. A status of 0 closes the connection without a word."""

    status: int
    document: object = None
    headers: Mapping[str, str] | None = None


UNSIGNED = Answer(401, {"error": "signature"})
DUPLICATE = Answer(200, {"status": "duplicate"})
SOLD_OUT = Answer(409, {"error": "out of stock"})


class Desk:
    """Orders for items. An order takes one piece, once; of an item there are as many pieces as `stock`."""

    reads_bodies = True

    def __init__(self, *, stock: int = 5) -> None:
        self.lock = threading.RLock()
        self.first_stock = stock
        self.stock: Counter[str] = Counter()
        self.orders: Counter[str] = Counter()
        self.taken = 0
        self.asked: list[Asked] = []
        self.base_url = ""
        # A desk that is not open stops listening; its last answers still go out if they `answers_last`.
        self.is_open = True
        self.answers_last = False
        self.closed = threading.Event()

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
        if asked.method == "GET":
            return self.read(asked)
        if asked.path == "/order":
            return self.order(asked)
        if asked.path == "/items":
            return self.make_item()
        return self.reset() if asked.path == "/__reset" else Answer(404)

    def order(self, asked: Asked) -> Answer:
        if not self.is_signed(asked):
            return self.unsigned(asked)
        with self.one_at_a_time():
            return self.signed(asked)

    def is_signed(self, asked: Asked) -> bool:
        return hmac.compare_digest(self.expected(asked).encode(), asked.signature.encode("latin-1"))

    def expected(self, asked: Asked) -> str:
        return hmac.new(SECRET.encode(), asked.body, hashlib.sha256).hexdigest()

    def unsigned(self, _asked: Asked) -> Answer:
        return UNSIGNED

    def one_at_a_time(self) -> AbstractContextManager[object]:
        return self.lock

    def signed(self, asked: Asked) -> Answer:
        order = asked.document
        if not self.is_new(order, asked):
            return self.duplicate()
        if not self.is_left(order):
            return SOLD_OUT
        self.before_taking()
        self.take(order)
        return self.accepted()

    def is_new(self, order: Mapping[str, Any], _asked: Asked) -> bool:
        return order["order_id"] not in self.orders

    def is_left(self, order: Mapping[str, Any]) -> bool:
        return self.stock[order["item"]] > 0

    def before_taking(self) -> None:
        """Nothing lies between the look and the write."""

    def take(self, order: Mapping[str, Any]) -> None:
        with self.lock:
            self.orders[order["order_id"]] += 1
            self.stock[order["item"]] -= 1
            self.taken += 1

    def accepted(self) -> Answer:
        return Answer(200, {"status": "processed"})

    def duplicate(self) -> Answer:
        return DUPLICATE

    def make_item(self) -> Answer:
        item = f"sku-{uuid.uuid4().hex[:12]}"
        with self.lock:
            self.stock[item] = self.first_stock
        return Answer(201, {"item": item})

    def reset(self) -> Answer:
        with self.lock:
            self.orders.clear()
            self.stock.clear()
        return Answer(204)

    def read(self, asked: Asked) -> Answer:
        kind, _, name = asked.path.removeprefix("/").partition("/")
        with self.lock:
            if kind == "items":
                return Answer(200, {"stock": self.stock[name]}) if name in self.stock else Answer(404)
            if kind == "orders":
                return Answer(200, {"count": self.orders[name]})
            return Answer(200, {"count": self.taken})

    def orders_asked(self) -> list[Asked]:
        """What came in on the scanned route."""
        with self.lock:
            return [asked for asked in self.asked if asked.path == "/order"]
