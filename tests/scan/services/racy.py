"""Desks without the lock. A window between look and write is held open until somebody else is in it too: no luck."""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tests.scan.services.desk import SOLD_OUT, Answer, Asked, Desk

# Whoever comes alone, as every request of a sequential twin, waits this long in vain.
_ALONE_S = 0.02


class Window:
    """Where requests wait for each other, two or more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0

    def meet(self) -> bool:
        """Wait for somebody else, and go on together; whether anybody came."""
        with self._changed:
            self._inside += 1
            self._changed.notify_all()
            has_met = self._changed.wait_for(lambda: self._inside > 1, timeout=_ALONE_S)
        with self._changed:
            self._inside -= 1
        return has_met


class Unlocked(Desk):
    """Looks, then writes: whoever has looked before another one writes, writes too."""

    def __init__(self, *, stock: int = 5) -> None:
        super().__init__(stock=stock)
        self.window = Window()

    def one_at_a_time(self) -> AbstractContextManager[object]:
        return nullcontext()

    def before_taking(self) -> None:
        self.window.meet()


class OncePerOrder(Unlocked):
    """Remembers orders under a lock, and looks at the stock outside of it: no duplicate, but overselling."""

    def is_new(self, order: Mapping[str, Any], _asked: object) -> bool:
        with self.lock:
            known = order["order_id"] in self.orders
            self.orders[order["order_id"]] += 1
        return not known

    def take(self, order: Mapping[str, Any]) -> None:
        with self.lock:
            self.stock[order["item"]] -= 1
            self.taken += 1


class LosesUpdates(OncePerOrder):
    """Reads the stock, and writes back one less than it has read: of two at once, one is lost."""

    def signed(self, asked: Asked) -> Answer:
        order = asked.document
        if not self.is_new(order, asked):
            return self.duplicate()
        seen = self.stock[order["item"]]
        if seen < 1:
            return SOLD_OUT
        self.window.meet()
        self.stock[order["item"]] = seen - 1
        return self.accepted()
