"""What becomes of one message when something fails, by what the claims are kept in.

Rule: this is the table in docs/guard-stores.md, which is made from it, and the parametrization of test_store_table.py,
which brings every row about on real servers, files and processes. What a store does not declare is not argued about
here: its effects are counted.
"""

import multiprocessing
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from tests.guard.redis.server import RedisServer
from tocsin.guard import StoreUnavailable, TransactionBroken
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.memory import MemoryStore
from tocsin.guard.stores.redis import RedisStore
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.testing import ANSWER, claim


class Desk(ABC):
    """Applies one message and counts how often it took effect.

    Args:
        directory: of this test.
    """

    name: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ran = 0

    @abstractmethod
    def open(self) -> Any:
        """A store, as a process opens one."""

    @abstractmethod
    def write(self, tx: Any) -> None:
        """What the handler does."""

    @property
    @abstractmethod
    def effects(self) -> int:
        """How often it stands there."""

    def apply(self, store: Any, ending: str = "settle") -> str:
        """The message once more: what its sender is told."""
        taken = store.take(claim(), 5)
        if isinstance(taken, Record):
            return "the stored answer" if taken.status is not None else "answer unknown"
        assert isinstance(taken, Granted)
        self.write(taken.tx)
        if ending == "fail":
            taken.abandon()
            return "a failure"
        if ending == "die":
            os._exit(9)
        taken.settle(ANSWER)
        return "an answer"

    def let_time_pass(self) -> None:  # noqa: B027  most have no lease
        """Until every lease has ended."""


class OnSQLite(Desk):
    name = "one transaction (SQLite)"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._path = directory / "orders.db"
        with closing(sqlite3.connect(self._path)) as db:
            db.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY)")

    def open(self) -> SQLiteStore:
        return SQLiteStore(self._path)

    def write(self, tx: Any) -> None:
        tx.execute("INSERT INTO effects DEFAULT VALUES")

    @property
    def effects(self) -> int:
        with closing(sqlite3.connect(self._path)) as db:
            return int(db.execute("SELECT count(*) FROM effects").fetchone()[0])


class InMemory(Desk):
    name = "memory"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.state: dict[int, str] = {}
        self._ids = count()

    def open(self) -> MemoryStore:
        return MemoryStore()

    def write(self, tx: Any) -> None:
        tx.put(self.state, next(self._ids), "effect")

    @property
    def effects(self) -> int:
        return len(self.state)


class OnRedis(Desk):
    """The effects are in a file, as they would be in another database."""

    name = "Redis"
    may_run_again: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._effects = directory / "effects"
        self._effects.touch()
        self.server = RedisServer("--repl-diskless-sync-delay 0")
        self.server.start()

    def open(self) -> RedisStore:
        return RedisStore(self.server.url, may_run_again=self.may_run_again)

    def write(self, tx: Any) -> None:
        with self._effects.open("a") as file:
            file.write(f"{tx.token}\n")

    @property
    def effects(self) -> int:
        return len(self._effects.read_text().splitlines())

    def let_time_pass(self) -> None:
        self.server.end_leases()


class OnRedisOnce(OnRedis):
    name = "Redis, `may_run_again=False`"
    may_run_again = False


DESKS: tuple[type[Desk], ...] = (OnSQLite, InMemory, OnRedis, OnRedisOnce)


def later(desk: Desk) -> str:
    store = desk.open()
    desk.apply(store)
    return close(store, desk.apply(store))


def in_two_processes(desk: Desk) -> str:
    first, second = desk.open(), desk.open()
    desk.apply(first)
    return close(first, close(second, desk.apply(second)))


def failed(desk: Desk) -> str:
    store = desk.open()
    desk.apply(store, "fail")
    return close(store, desk.apply(store))


def killed(desk: Desk) -> str:
    """Kill -9, as far as the handler is concerned: nothing of the process runs on."""
    store = desk.open()
    process = multiprocessing.get_context("fork").Process(target=desk.apply, args=(desk.open(), "die"))
    process.start()
    process.join()
    assert process.exitcode == 9
    desk.let_time_pass()
    return close(store, desk.apply(store))


def slow(desk: Desk) -> str:
    """The handler runs on beyond every time limit there is, and a retry comes meanwhile."""
    store = desk.open()
    other = store if isinstance(desk, InMemory) else desk.open()
    taken = store.take(claim(), 5)
    desk.write(taken.tx)
    desk.let_time_pass()
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(retried, desk, other).result()
    with suppress(TransactionBroken):
        taken.settle(ANSWER)
    return close(store, close(other, told))


def retried(desk: Desk, store: Any) -> str:
    try:
        found = store.take(claim(), 0)
    except StoreUnavailable:
        return "to come again"
    if isinstance(found, Record):
        return "answer unknown"
    desk.write(found.tx)
    found.settle(ANSWER)
    return "an answer"


def restarted(desk: Desk) -> str:
    """The server of the claims, killed, and not told to keep an append-only file."""
    store = desk.open()
    desk.apply(store)
    if isinstance(desk, OnRedis):
        desk.server.kill()
        desk.server.start()
    else:
        store = close_and_open(desk, store)
    return close(store, desk.apply(store))


def failed_over(desk: Desk) -> str:
    """To a replica that the last write had not reached."""
    assert isinstance(desk, OnRedis)
    with RedisServer(f"--replicaof 127.0.0.1 {desk.server.port}") as replica:
        with replica.client as client:
            while client.info("replication")["master_link_status"] != "up":
                pass
        replica.ask("REPLICAOF", "NO", "ONE")
        store = desk.open()
        desk.apply(store)
        store.close()
        desk.server.kill()
        store = RedisStore(replica.url, may_run_again=desk.may_run_again)
        return close(store, desk.apply(store))


def close(store: Any, told: str) -> str:
    store.close()
    return told


def close_and_open(desk: Desk, store: Any) -> Any:
    """As a service starts again; what was in memory is not there any more."""
    store.close()
    if isinstance(desk, InMemory):
        desk.state.clear()
    return desk.open()


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Args:
        name: what happens, in the words of the documents.
        brought_about: makes it happen; what the sender's retry is told.
        cells: for each of DESKS how many effects there are in the end, and what the retry is told; None: it has
            nothing to which that can happen.
    """

    name: str
    brought_about: Callable[[Desk], str]
    cells: tuple[tuple[int, str] | None, ...]


_ONCE = (1, "the stored answer")
_RUNS = (1, "an answer")
_TWICE = (2, "an answer")
_UNKNOWN = (1, "answer unknown")
_LATER = (1, "to come again")

ROWS = (
    Row("the message comes again later", later, (_ONCE,) * 4),
    Row("it comes again to another process", in_two_processes, (_ONCE, _TWICE, _ONCE, _ONCE)),
    Row("the handler fails after its write, and the sender tries again", failed, (_RUNS, _RUNS, _TWICE, _TWICE)),
    Row(
        "the process is killed between the handler's write and the stored answer",
        killed,
        (_RUNS, _RUNS, _TWICE, _UNKNOWN),
    ),
    Row(
        "the handler is slower than the lease, and the sender tries again",
        slow,
        (_LATER, _LATER, _TWICE, _UNKNOWN),
    ),
    Row(
        "what keeps the claims is killed and starts again, without an append-only file",
        restarted,
        (_ONCE, _RUNS, _TWICE, _TWICE),
    ),
    Row("a fail-over to a replica that had not heard of it", failed_over, (None, None, _TWICE, _TWICE)),
)
