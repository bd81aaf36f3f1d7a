"""Race a service with plain threads and read the outcome from its database or ledger: ground truth.

Shares no code with the scanner, nor with tocsin.signing: what both would get wrong, this does not. It is cruder than
the scanner's bursts on purpose, so that a race it sees is there beyond doubt; what it does not see may still exist.
"""

import hashlib
import hmac
import http.client
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeAlias

import psycopg

from lab._launch import Running

TIMEOUT_S = 30.0

# body, idempotency key, secret -> the headers that sign it
Signer: TypeAlias = Callable[[bytes, str, str], dict[str, str]]


def sign_hex(body: bytes, _idempotency_key: str, secret: str) -> dict[str, str]:
    """Lower-case hex HMAC-SHA256 of the raw body."""
    return {"X-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def sign_tocsin_v1(
    body: bytes, idempotency_key: str, secret: str, path: str = "/order", at: float | None = None
) -> dict[str, str]:
    """The scheme tocsin-v1, from its description: eight lines under the signature, for a POST without query."""
    timestamp, key_id = str(int(time.time() if at is None else at)), "lab"
    lines = ["tocsin-v1", timestamp, key_id, "POST", path, "", idempotency_key, hashlib.sha256(body).hexdigest()]
    signature = hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    return {"Idempotency-Key": idempotency_key, "Tocsin-Signature": f"t={timestamp},k={key_id},v1={signature}"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got."""

    status: int
    headers: dict[str, str]
    body: bytes


def post(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str], path: str = "/order") -> Answer:
    """POST on that connection, and the whole answer."""
    connection.request("POST", path, body, headers)
    got = connection.getresponse()
    return Answer(got.status, dict(got.getheaders()), got.read())


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """An order service under attack; with another path, a service of another kind, whose bodies are made elsewhere.

    Args:
        running: the service.
        sign: how its requests are signed.
        has_stock: whether it knows items and their stock.
        path: where its requests go.
    """

    running: Running
    sign: Signer
    has_stock: bool = True
    path: str = "/order"

    def send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """One POST on a connection of its own. Raises OSError or HTTPException if no answer comes."""
        with closing(self.connection()) as connection:
            return post(connection, body, headers, self.path)

    def volley(self, orders: Sequence[tuple[bytes, dict[str, str]]]) -> list[Answer]:
        """All orders at once: a thread and an open connection each, let go by one barrier. Raises as send does."""
        barrier = threading.Barrier(len(orders))

        def fire(connection: http.client.HTTPConnection, order: tuple[bytes, dict[str, str]]) -> Answer:
            barrier.wait(TIMEOUT_S)
            return post(connection, *order, self.path)

        with ExitStack() as stack, ThreadPoolExecutor(len(orders)) as threads:
            connections = [stack.enter_context(closing(self.connection())) for _ in orders]
            for connection in connections:
                connection.connect()
            return list(threads.map(fire, connections, orders))

    def connection(self) -> http.client.HTTPConnection:
        """A connection to it, opened with its first request."""
        return http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=TIMEOUT_S)

    def order(self, item: str, order_id: object = None) -> tuple[bytes, dict[str, str]]:
        """A signed order, of a new id unless one is given."""
        name = uuid.uuid4().hex if order_id is None else order_id
        body = json.dumps({"order_id": name, "item": item, "qty": 1}).encode()
        return body, {"Content-Type": "application/json"} | self.sign(body, str(name), self.running.secret)

    def new_item(self, stock: int = 5) -> str:
        """An item nobody has ordered yet, with that much stock."""
        if not self.has_stock:
            return "sku-1"
        with closing(self.connection()) as connection:
            body = json.dumps({"stock": stock})
            connection.request("POST", "/items", body, {"Content-Type": "application/json"})
            return str(json.load(connection.getresponse())["item"])

    def query(self, statement: str, *values: object) -> int:
        """One number, straight from the database, past the service's own read endpoints."""
        if self.running.database is not None:
            with psycopg.connect(self.running.database.url) as server:
                found = server.execute(statement.replace("?", "%s").encode(), values).fetchone()
            assert found is not None
            return int(found[0])
        with closing(sqlite3.connect(self.running.data / "orders.db")) as db:
            return int(db.execute(statement, values).fetchone()[0])

    def noted(self, name: str, value: str) -> int:
        """How many lines of the service's ledger, a file of JSON objects, have that value under that name."""
        lines = (self.running.data / "ledger.jsonl").read_text().splitlines()
        return sum(json.loads(line).get(name) == value for line in lines)

    def duplicates(self, size: int) -> int:
        """Send one signed order `size` times at once; how often was it applied?"""
        order_id = uuid.uuid4().hex
        self.volley([self.order(self.new_item(), order_id)] * size)
        return self.query("SELECT COUNT(*) FROM orders WHERE order_id = ?", order_id)

    def oversold(self, size: int, stock: int = 5) -> int:
        """Send `size` distinct orders for one item at once; how many more were sold than there were?"""
        item = self.new_item(stock)
        self.volley([self.order(item) for _ in range(size)])
        sold = stock - self.query("SELECT stock FROM items WHERE id = ?", item)
        return max(0, sold - stock)
