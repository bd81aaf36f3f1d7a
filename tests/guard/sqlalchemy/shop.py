"""A small service behind the guard, on SQLAlchemy: orders through the application's own sessions."""

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import TestResponse

from tests.guard.shop import HEX, SECRET, Clock
from tests.guard.sqlalchemy.backends import Backend, Order
from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores import Granted
from tocsin.guard.stores.sqlalchemy import SQLAlchemyStore
from tocsin.guard.testing import claim
from tocsin.signing import KeyRing, Message, sign

Handler = Callable[[Signed, Any], Any]
LONG_S = 30.0
SERVERS = ["postgresql", "mariadb"]


def order_id_of(signed: Signed) -> str:
    return str(json.loads(signed.body)["order_id"])


def write_order(signed: Signed, session: Session) -> Any:
    """The usual handler: it only adds an object. Its receipt is new whenever it runs."""
    session.add(Order(order_id=order_id_of(signed)))
    return {"receipt": secrets.token_hex(8)}, 201


class Shop:
    """POST /order, whose handler a test may replace; `runs` counts how often it was called.

    Args:
        backend: the database.
        source: what the store is given; default: sessions on an engine of its own.
        handler: what is guarded.
        guard: options of the guard.
        store: options of the store.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        source: Any = None,
        handler: Handler = write_order,
        guard: Mapping[str, Any] | None = None,
        store: Mapping[str, Any] | None = None,
    ) -> None:
        self.backend = backend
        source = sessionmaker(backend.engine()) if source is None else source
        self.store = SQLAlchemyStore(source, **(store or {}))
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

    def order(self, order_id: str = "17", **more: object) -> TestResponse:
        """Send a signed order."""
        body = json.dumps({"order_id": order_id} | more).encode()
        headers = sign(Message("POST", "/order", (), body), HEX, SECRET, now=self.clock.now)
        return self.app.test_client(use_cookies=False).post("/order", data=body, headers=list(headers), buffered=True)


MakeShop = Callable[..., Shop]


def granted(store: SQLAlchemyStore, name: str = "order-1", **more: Any) -> Granted[Any]:
    taken = store.take(claim(name, **more), LONG_S)
    assert isinstance(taken, Granted)
    return taken


def nothing_is_kept(shop: Shop) -> None:
    assert (shop.backend.orders, shop.backend.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status_code == 201
    assert shop.backend.orders == ["17"]
