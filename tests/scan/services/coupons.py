"""Desks whose orders can be cancelled: an item is sold, or withdrawn, and never both."""

from typing import Any

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import Unlocked

GONE = Answer(409, {"error": "gone"})
# What a plan says beside that for a desk: what races with an order, and where both show.
WITHDRAWN: dict[str, Any] = {
    "limits": {"effects": 1, "per": ["item"]},
    "state": [
        {"name": "sold", "request": "GET /orders/{{uuid}}", "pointer": "/count", "settle_ms": 0},
        {"name": "withdrawn", "request": "GET /withdrawn/{{item}}", "pointer": "/count", "settle_ms": 0},
    ],
    "mix": [{"request": "POST /withdraw", "body": '{"item":"{{item}}"}'}],
}


class Coupons(Desk):
    """Looks and writes in one step."""

    def __init__(self, *, stock: int = 1) -> None:
        super().__init__(stock=stock)
        self.withdrawn: set[str] = set()

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/withdraw":
            with self.lock:
                self.asked.append(asked)
            if not self.is_signed(asked):
                return self.unsigned(asked)
            with self.one_at_a_time():
                return self.withdraw(asked.document)
        return super().answer(asked)

    def withdraw(self, message: dict[str, Any]) -> Answer:
        if self.stock[message["item"]] < 1:
            return GONE
        self.before_taking()
        with self.lock:
            self.withdrawn.add(message["item"])
        return Answer(200)

    def is_left(self, order: Any) -> bool:
        return super().is_left(order) and order["item"] not in self.withdrawn

    def read(self, asked: Asked) -> Answer:
        if asked.path.startswith("/withdrawn/"):
            with self.lock:
                return Answer(200, {"count": int(asked.path.rpartition("/")[2] in self.withdrawn)})
        return super().read(asked)


class Redeems(Unlocked, Coupons):
    """Of one order and one withdrawal at once, both have looked before either writes. Two orders take turns."""

    def __init__(self) -> None:
        super().__init__(stock=1)

    def signed(self, asked: Asked) -> Answer:
        order = asked.document
        with self.lock:
            if not (self.is_new(order, asked) and self.is_left(order)):
                return GONE
            self.stock[order["item"]] -= 1
        self.window.meet()
        with self.lock:
            self.orders[order["order_id"]] += 1
        return self.accepted()

    def withdraw(self, message: dict[str, Any]) -> Answer:
        is_there = self.stock[message["item"]] > 0
        self.window.meet()
        if not is_there:
            return GONE
        with self.lock:
            self.withdrawn.add(message["item"])
        return Answer(200)


class Fickle(Coupons):
    """Every other withdrawal is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def withdraw(self, message: dict[str, Any]) -> Answer:
        self.turn += 1
        return super().withdraw(message) if self.turn % 2 else Answer(200)
