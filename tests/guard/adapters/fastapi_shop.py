"""A FastAPI application of a test's own, over one SQLite file."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.service import Reply
from tests.guard.shop import HEX, SECRET
from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import Header as Field
from tocsin.signing import KeyRing, Message, Scheme, Secret, preset, sign

KEY = json_pointer("/order_id")


TOCSIN = preset("tocsin-v1")


FORGED = Secret(b"somebody else's secret", key_id="k1")


NOW = 1_790_000_000


class OrderIn(BaseModel):
    order_id: str
    amount: int = 1


class OrderOut(BaseModel):
    order_id: str
    number: int


class Shop:
    """A FastAPI application of a test's own, over one file."""

    def __init__(self, path: Path, loop: Loop) -> None:
        self.path = path
        self.loop = loop
        self.store = SQLiteStore(path, on_connect=lambda connection: connection.execute("PRAGMA foreign_keys = ON"))
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE orders (order_id TEXT NOT NULL)")
            db.execute("CREATE TABLE items (id INTEGER PRIMARY KEY)")
            db.execute("CREATE TABLE lines (item INTEGER REFERENCES items DEFERRABLE INITIALLY DEFERRED)")
        self.guard = self.guarded()
        self.app = FastAPI()
        self.runs = 0

    def guarded(self, scheme: Scheme = HEX, **options: Any) -> Guard[Any]:
        return Guard(scheme, KeyRing.of(SECRET), self.store, **({"wait_s": 30, "shared_secret": True} | options))

    def write(self, tx: Transaction, order_id: str = "17") -> dict[str, Any]:
        self.runs += 1
        tx.execute("INSERT INTO orders VALUES (?)", (order_id,))
        return {"order_id": order_id, "number": self.runs}

    def post(
        self,
        document: object = None,
        *,
        target: str = "/order",
        headers: tuple[Field, ...] = (),
        scheme: Scheme = HEX,
        secret: Secret = SECRET,
        raises: bool = True,
        **scope: Any,
    ) -> Reply:
        """Send a signed order; what the application raises is raised, or what the client hears is returned."""
        body = document if isinstance(document, bytes) else json.dumps(document or {"order_id": "17"}).encode()
        plain = (*headers, ("Content-Type", "application/json"))
        signed = sign(Message("POST", target, plain, body), scheme, secret, now=NOW)
        exchange = Exchange(target, (*plain, *signed), body, **scope)
        return self.loop.run(exchange.call(self.app) if raises else exchange.heard(self.app))

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as db:
            return [value for (value,) in db.execute(sql)]

    @property
    def orders(self) -> list[str]:
        return self.query("SELECT order_id FROM orders ORDER BY rowid")

    @property
    def operations(self) -> list[str]:
        """What is claimed."""
        return self.query("SELECT operation FROM tocsin_claims ORDER BY id")


def selling(shop: Shop, kind: str) -> Shop:
    """A shop whose POST /order has a model each way."""
    if kind == "def":

        @shop.app.post("/order", status_code=201, response_model=OrderOut)
        @shop.guard.fastapi(key=KEY)
        def order(signed: Signed, tx: Transaction, body: OrderIn, tasks: BackgroundTasks) -> Any:
            return sell(shop, signed, tx, body, tasks)

    else:

        @shop.app.post("/order", status_code=201, response_model=OrderOut)
        @shop.guard.fastapi(key=KEY)
        async def order_async(signed: Signed, tx: Transaction, body: OrderIn, tasks: BackgroundTasks) -> Any:
            return sell(shop, signed, tx, body, tasks)

    return shop


seen_by_tasks: list[tuple[str, int]] = []


def sell(shop: Shop, signed: Signed, tx: Transaction, body: OrderIn, tasks: BackgroundTasks) -> Any:
    assert json.loads(signed.body)["order_id"] == body.order_id
    tasks.add_task(lambda: seen_by_tasks.append((body.order_id, len(shop.orders))))
    return shop.write(tx, body.order_id) | {"password_hash": "s3cret"}
