"""A small service behind the guard, on a real database server: orders and what was written for them."""

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from flask import Flask
from flask.typing import ResponseReturnValue
from werkzeug.test import TestResponse

from tests.guard.shop import HEX, SECRET, Clock
from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores import Store
from tocsin.signing import KeyRing, Message, sign

# Any: each store has a transaction of its own.
Handler = Callable[[Signed, Any], Any]
Database = TypeVar("Database")


def order_id_of(signed: Signed) -> str:
    return str(json.loads(signed.body)["order_id"])


def write_order(signed: Signed, tx: Any) -> ResponseReturnValue:
    """The usual handler. Its receipt is new whenever it runs."""
    tx.execute("INSERT INTO orders (order_id) VALUES (%s)", (order_id_of(signed),))
    return {"receipt": secrets.token_hex(8)}, 201


class ServerShop(ABC, Generic[Database]):
    """POST /order, whose handler a test may replace; `runs` counts how often it was called.

    Args:
        database: where the orders are read.
        store: where they are written; default: a store on the same database.
        handler: what is guarded.
        guard: options of the guard.
    """

    def __init__(
        self,
        database: Database,
        *,
        store: Store[Any] | None = None,
        handler: Handler = write_order,
        guard: Mapping[str, Any] | None = None,
    ) -> None:
        self.database = database
        self.store: Any = self.store_on(database) if store is None else store
        self.clock = Clock()
        self.guard = Guard(HEX, KeyRing.of(SECRET), self.store, **({"clock": self.clock} | dict(guard or {})))
        self.handler = handler
        self.runs = 0
        self.app = Flask("shop")

        @self.app.post("/order")
        @self.guard.flask(key=json_pointer("/order_id"))
        def order(signed: Signed, tx: Any) -> Any:
            self.runs += 1
            return self.handler(signed, tx)

    @abstractmethod
    def store_on(self, database: Database) -> Store[Any]:
        """The usual store."""

    def order(self, order_id: str = "17", **more: object) -> TestResponse:
        """Send a signed order."""
        body = json.dumps({"order_id": order_id} | more).encode()
        headers = sign(Message("POST", "/order", (), body), HEX, SECRET, now=self.clock.now)
        return self.app.test_client(use_cookies=False).post("/order", data=body, headers=list(headers), buffered=True)


def nothing_is_kept(shop: ServerShop[Any]) -> None:
    """Of the last order; and it may be sent again."""
    assert (shop.database.orders, shop.database.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status_code == 201
    assert shop.database.orders == ["17"]
