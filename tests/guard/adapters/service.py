"""A guarded service that says nothing of its framework: what every adapter has to make of one and the same handler.

A new adapter is a class here below `Service`, in a file of its own, and a line in `conftest.py`.
"""

import json
import secrets
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

from tests.guard.shop import HEX, SECRET, Clock
from tocsin.guard import Guard, Signed, Transaction, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import Header, KeyRing, Message, Scheme, Secret, sign


@dataclass(frozen=True, slots=True)
class Produced:
    """What a handler returns: an answer in the words of no framework.

    Args:
        parts: the body of a stream, in place of `body`.
        afterwards: done in the background, when the answer has left.
    """

    status: int = 200
    body: bytes = b"ok"
    headers: tuple[Header, ...] = (("Content-Type", "text/plain"),)
    parts: Iterable[bytes] | None = None
    afterwards: Callable[[], object] | None = None


class Refusal(Exception):  # noqa: N818  it is what a handler says, not a fault
    """What a handler raises: one of the framework's own HTTP errors."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got."""

    status: int
    headers: tuple[Header, ...]
    body: bytes

    def field(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given.lower() == name.lower()]

    @property
    def is_replay(self) -> bool:
        return self.field("Idempotent-Replayed") == ["true"]

    def stored(self) -> tuple[int, tuple[Header, ...], bytes]:
        """What a duplicate has to get again."""
        own = {"idempotent-replayed", "content-length"}
        return self.status, tuple((n.lower(), v) for n, v in self.headers if n.lower() not in own), self.body

    def json(self) -> Any:
        return json.loads(self.body)


Handler = Callable[[Signed, Transaction], Produced]


def write_order(signed: Signed, tx: Transaction) -> Produced:
    """The usual handler. Its receipt is new whenever it runs."""
    document: Any = signed.json()
    tx.execute("INSERT INTO orders (order_id) VALUES (?)", (str(document.get("order_id", document.get("id"))),))
    receipt = json.dumps({"receipt": secrets.token_hex(8)}).encode()
    return Produced(201, receipt, (("Content-Type", "application/json"), ("X-Shop", "1")))


@dataclass(slots=True)
class Gate:
    """A place in front of the handler, inside its transaction, where requests stand until a test lets them go on."""

    entered: Event = field(default_factory=Event)
    leave: Event = field(default_factory=Event)

    def stand(self) -> None:
        self.entered.set()
        assert self.leave.wait(30)


class Service(ABC):
    """POST /order under the guard.

    Attributes:
        has_http_errors: whether the framework has HTTP errors of its own, which the guard tells from answers.
        has_views: whether it knows the path template under which a handler is registered.
        has_afterwards: whether a handler can have something done when its answer has left.
        ends_bodies: whether the guard reads the body, and so ends one that has no end.
    """

    has_http_errors: ClassVar[bool] = True
    has_views: ClassVar[bool] = True
    has_afterwards: ClassVar[bool] = True
    ends_bodies: ClassVar[bool] = True

    def __init__(
        self,
        path: Path,
        *,
        scheme: Scheme = HEX,
        keys: KeyRing | None = None,
        handler: Handler = write_order,
        route: Mapping[str, Any] | None = None,
        **guard: Any,
    ) -> None:
        self.path = path
        self.scheme = scheme
        self.store = SQLiteStore(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT NOT NULL)")
        self.clock = Clock()
        options: dict[str, Any] = {"clock": self.clock, "wait_s": 30.0} | guard
        self.guard = Guard(scheme, KeyRing.of(SECRET) if keys is None else keys, self.store, **options)
        self.handler = handler
        self.gate: Gate | None = None
        self.runs = 0
        self.serve({"key": json_pointer("/order_id")} if route is None else dict(route))

    @abstractmethod
    def serve(self, route: dict[str, Any]) -> None:
        """Declare the application, its handler guarded with these options."""

    @abstractmethod
    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        """Send a POST; a body in parts is sent without saying its length. Raises what the application raises."""

    def close(self) -> None:
        self.store.close()

    def run(self, signed: Signed, tx: Transaction) -> Produced:
        """What every adapter's handler does, behind the gate."""
        self.runs += 1
        return self.handler(signed, tx)

    def signed(
        self, body: bytes, *, target: str = "/order", headers: tuple[Header, ...] = (), secret: Secret = SECRET
    ) -> tuple[Header, ...]:
        """The headers of a signed request."""
        plain = (*headers, ("Content-Type", "application/json"))
        return (*plain, *sign(Message("POST", target, plain, body), self.scheme, secret, now=self.clock.now))

    def post(
        self,
        document: object,
        *,
        target: str = "/order",
        headers: tuple[Header, ...] = (),
        secret: Secret = SECRET,
    ) -> Reply:
        """Send a signed request; bytes are sent as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request(target, self.signed(body, target=target, headers=headers, secret=secret), body)

    def order(self, order_id: object = "17", **more: object) -> Reply:
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
        return len(self.query("SELECT 1 FROM tocsin_claims"))
