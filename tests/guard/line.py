"""Requests that wait for a store's turn in a known order, so that they run in one group."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import TracebackType
from typing import Any, Self

from tests.guard.shop import Handler, Shop, write_order
from tocsin.guard import Signed, Transaction
from tocsin.guard.stores.sqlite import SQLiteStore


def await_queue(store: SQLiteStore, count: int) -> None:
    """Spin until so many wait for the turn."""
    while len(store.turns._turn._queue) != count:
        pass


class ByOrder:
    """A handler that does for each order what a test wants, and counts how often each one ran.

    Args:
        handlers: by order id; the usual handler for all others.
    """

    def __init__(self, handlers: Mapping[str, Handler] | None = None) -> None:
        self.handlers = dict(handlers or {})
        self.ran: list[str] = []

    def __call__(self, signed: Signed, tx: Transaction) -> Any:
        order_id = json.loads(signed.body)["order_id"]
        self.ran.append(order_id)
        return self.handlers.get(order_id, write_order)(signed, tx)


class Blocking:
    """A handler that is inside until a test lets it go on, or leaves the line."""

    def __init__(self) -> None:
        self.entered, self.leave = Event(), Event()

    def __call__(self, signed: Signed, tx: Transaction) -> Any:
        self.entered.set()
        assert self.leave.wait(30)
        return write_order(signed, tx)


class Line:
    """Holds a shop's turn with the order "first" while others line up behind it; on leaving, everybody goes.

    The first one found the store idle, so it commits alone; the others are one group.
    """

    def __init__(self, shop: Shop, handlers: Mapping[str, Handler] | None = None) -> None:
        self.shop = shop
        self._first = Blocking()
        self.orders = ByOrder({"first": self._first} | dict(handlers or {}))
        shop.handler = self.orders
        self.answers: dict[str, Future[Any]] = {}
        self._pool = ThreadPoolExecutor(80)

    def __enter__(self) -> Self:
        self._pool.submit(self.shop.order, "first")
        self._first.entered.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handler in self.orders.handlers.values():
            if isinstance(handler, Blocking):
                handler.leave.set()
        self._pool.shutdown()

    def add(self, order_id: str, send: Callable[[str], Any] | None = None) -> None:
        """One more order, which arrives after all others."""
        waiting = len(self.store.turns._turn._queue)
        self.answers[order_id] = self._pool.submit(send or self.shop.order, order_id)
        await_queue(self.store, waiting + 1)

    def go(self) -> None:
        """Let the turn go round."""
        self._first.leave.set()

    @property
    def store(self) -> SQLiteStore:
        assert isinstance(self.shop.store, SQLiteStore)
        return self.shop.store

    def statuses(self) -> dict[str, int]:
        """What each was answered."""
        return {order_id: answer.result().status_code for order_id, answer in self.answers.items()}
