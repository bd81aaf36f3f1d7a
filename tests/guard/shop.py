"""A small service behind the guard, on a real file: orders and what was written for them."""

import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue
from werkzeug.test import TestResponse

from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.stores import Store
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.stores.sqlite import Transaction as SQLiteTransaction
from tocsin.signing import Header, KeyRing, Message, Scheme, Secret, preset, sign

NOW = 1_790_000_000.0
SECRET = Secret(b"a secret of the tests, 32 octets", key_id="k1")
HEX = preset("hex-sha256-body")

Handler = Callable[[Signed, Transaction], Any]


def write_order(signed: Signed, tx: Transaction) -> ResponseReturnValue:
    """The usual handler. Its receipt is new whenever it runs."""
    document = json.loads(signed.body)
    tx.execute("INSERT INTO orders (order_id) VALUES (?)", (str(document.get("order_id", document.get("id"))),))
    return {"status": "processed", "receipt": secrets.token_hex(8)}


class Clock:
    """A wall clock that a test sets."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Shop:
    """POST /order, whose handler a test may replace; `runs` counts how often it was called."""

    def __init__(
        self,
        path: Path,
        *,
        scheme: Scheme = HEX,
        keys: KeyRing | None = None,
        store: Store[SQLiteTransaction] | None = None,
        handler: Handler = write_order,
        route: Mapping[str, Any] | None = None,
        guard: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.scheme = scheme
        self.store = SQLiteStore(path) if store is None else store
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT NOT NULL)")
        self.clock = Clock()
        options = {"clock": self.clock} | dict(guard or {})
        self.guard = Guard(scheme, KeyRing.of(SECRET) if keys is None else keys, self.store, **options)
        self.handler = handler
        self.runs = 0
        self.app = Flask("shop")
        self.app.testing = True
        self.view = self.guard.flask(**({"key": json_pointer("/order_id")} if route is None else route))(self._order)
        self.app.post("/order")(self.view)

    @property
    def _order(self) -> Handler:
        def order(signed: Signed, tx: Transaction) -> Any:
            self.runs += 1
            return self.handler(signed, tx)

        return order

    def signed(
        self, body: bytes, *, path: str = "/order", headers: tuple[Header, ...] = (), secret: Secret = SECRET
    ) -> tuple[Header, ...]:
        """The headers of a signed request."""
        return (*headers, *sign(Message("POST", path, headers, body), self.scheme, secret, now=self.clock.now))

    def post(
        self,
        document: object,
        *,
        path: str = "/order",
        headers: tuple[Header, ...] = (),
        secret: Secret = SECRET,
    ) -> TestResponse:
        """Send a signed request; bytes are sent as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        signed = self.signed(body, path=path, headers=headers, secret=secret)
        return self.app.test_client(use_cookies=False).post(path, data=body, headers=list(signed), buffered=True)

    def order(self, order_id: object = "17", **more: object) -> TestResponse:
        """Send an order."""
        return self.post({"order_id": order_id} | more)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Read what is committed, through a connection of its own."""
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(sql).fetchall()

    @property
    def orders(self) -> list[str]:
        """The orders that are committed."""
        return [order_id for (order_id,) in self.query("SELECT order_id FROM orders ORDER BY rowid")]

    @property
    def claims(self) -> int:
        """How many claims are committed."""
        (count,) = self.query("SELECT count(*) FROM tocsin_claims")[0]
        return int(count)
