"""The bench's side of the service that dies: start it, send it orders, count what is committed."""

import http.client
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Protocol, Self

import psycopg

from bench.crashing.apps import SCHEME, SECRET, Plan
from bench.crashing.steps import Step
from lab._postgres import Cluster
from tocsin.guard.stores.postgres import schema_sql
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import Message, sign

ROOT = Path(__file__).parents[2]
# Nothing here takes a tenth of that; what does is stuck.
PATIENCE_S = 10.0
# Clients in pairs, both with the same orders, so that duplicates race.
PAIRS = 3
APPLIED = 201
# The guard may ask a client to come again.
COME_AGAIN = frozenset({409, 503})
_OWN_TO_EACH = frozenset({"date", "server", "connection", "idempotent-replayed"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """An order that was sent once.

    Args:
        order_id: which.
        called_at: when, by the monotonic clock.
        returned_at: when its answer was there; None: the connection was lost before.
        status: of the answer.
        stored: the part of the answer that every duplicate has to get.
    """

    order_id: str
    called_at: float
    returned_at: float | None = None
    status: int | None = None
    stored: object = None


class Database(Protocol):
    """What the service writes to."""

    def applied(self, like: str) -> Counter[str]:
        """How often each order is committed whose name begins like this."""
        ...


class SQLiteDatabase:
    """A new file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "orders.db"
        SQLiteStore(self.path).close()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("CREATE TABLE orders (order_id TEXT NOT NULL)")

    def plan(self, adapter: str, *, fails: float = 0.0, twin: str = "") -> Plan:
        """Of a service on it."""
        return Plan(adapter, "sqlite", str(self.path), fails, twin)

    def applied(self, like: str) -> Counter[str]:
        """See Database."""
        with closing(sqlite3.connect(self.path, timeout=PATIENCE_S)) as db:
            found = db.execute("SELECT order_id FROM orders WHERE order_id GLOB ? || '*'", (like,))
            return Counter(order_id for (order_id,) in found)


class PostgresDatabase:
    """A new database of a server."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.port = cluster.port
        self._name = name
        with closing(psycopg.connect(cluster.url, autocommit=True)) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        self._connection = psycopg.connect(self.conninfo(self.port), autocommit=True)
        self._connection.execute(schema_sql().encode())
        self._connection.execute("CREATE TABLE orders (order_id text NOT NULL)")

    def conninfo(self, port: int) -> str:
        """How to reach it, directly or through a relay."""
        return f"postgresql://tocsin@127.0.0.1:{port}/{self._name}?sslmode=disable"

    def plan(self, adapter: str, *, fails: float = 0.0, twin: str = "", port: int = 0) -> Plan:
        """Of a service on it, which reaches it directly or through a relay."""
        return Plan(adapter, "postgres", self.conninfo(port or self.port), fails, twin)

    def applied(self, like: str) -> Counter[str]:
        """See Database."""
        found = self._connection.execute("SELECT order_id FROM orders WHERE starts_with(order_id, %s)", (like,))
        return Counter(order_id for (order_id,) in found)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@contextmanager
def made(store: str, folder: Path, cluster: Cluster | None, name: str) -> Iterator[SQLiteDatabase | PostgresDatabase]:
    """A new database for a store."""
    if store == "sqlite":
        (folder / name).mkdir()
        yield SQLiteDatabase(folder / name)
    else:
        assert cluster is not None, "a PostgreSQL server has been started for this"
        with closing(PostgresDatabase(cluster, name)) as database:
            yield database


@dataclass(slots=True)
class Service:
    """A service that is started again and again; leaving the context ends it.

    Args:
        plan: what it is.
        log: what it says of its own accord.
    """

    plan: Plan
    log: Path
    port: int = field(default=0, init=False)
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.crashing.service"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._say(json.dumps(asdict(self.plan)))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        # Its current life ends with it.
        self._process.kill()
        self._process.communicate()

    def start(self) -> float:
        """Begin a life; when it said that it listened, by the monotonic clock."""
        self._say("start")
        self.port = int(self._heard("listening"))
        return monotonic()

    def arm(self, step: Step, count: int) -> None:
        """It dies when the step is reached for the `count`-th time."""
        self._say(f"arm {step.name} {count}")
        self._heard("done")

    def end(self) -> int:
        """Kill -9 what is left of its processes; how many other requests shared the last COMMIT that it began."""
        self._say("end")
        return int(self._heard("done"))

    def send(self, order_id: str) -> Attempt:
        """Send a signed order, on a connection of its own."""
        body = json.dumps({"order_id": order_id}).encode()
        signed = dict(sign(Message("POST", "/order", (), body), SCHEME, SECRET, now=0))
        called_at = monotonic()
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
                connection.request("POST", "/order", body, {"Content-Type": "application/json", **signed})
                response = connection.getresponse()
                answer = response.read()
        except (OSError, http.client.HTTPException):
            return Attempt(order_id, called_at)
        kept = sorted((k.lower(), v) for k, v in response.getheaders() if k.lower() not in _OWN_TO_EACH)
        return Attempt(order_id, called_at, monotonic(), response.status, (tuple(kept), answer))

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _heard(self, word: str) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        heard, _, rest = self._process.stdout.readline().strip().partition(" ")
        assert heard == word, f"{word!r} was awaited; {self.log.read_text(errors='replace')[-2000:]}"
        return rest


def load(send: Callable[[str], Sequence[Attempt]], like: str, over: Event, *, pairs: int = PAIRS) -> list[Attempt]:
    """Pairs of clients send the same orders, one after the other, until it is over.

    Args:
        send: sends an order, until its client is content; every attempt.
        like: how the orders' names begin.
        over: set by whoever knows.
        pairs: how many, each with orders of its own.
    """
    attempts: list[Attempt] = []
    deadline = monotonic() + 3 * PATIENCE_S

    def client(pair: int) -> None:
        number = 0
        while not over.is_set() and monotonic() < deadline:
            attempts.extend(send(f"{like}{pair}-{number}"))
            number += 1

    clients = [Thread(target=client, args=(pair,)) for pair in range(pairs) for _ in range(2)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert over.is_set(), "nothing has happened to the service"
    return attempts


def insist(service: Service, order_id: str) -> list[Attempt]:
    """Send an order until it is neither lost nor asked to come again; every attempt."""
    deadline = monotonic() + PATIENCE_S
    attempts = [service.send(order_id)]
    while (attempts[-1].status is None or attempts[-1].status in COME_AGAIN) and monotonic() < deadline:
        attempts.append(service.send(order_id))
    return attempts
