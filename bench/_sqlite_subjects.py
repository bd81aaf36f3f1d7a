"""What bench.sqlite_store measures: the guard, and what it is measured beside."""

import asyncio
import json
import random
import secrets
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Barrier, Lock, Thread
from typing import Any, TypeAlias

from tocsin.guard import Guard, Signed
from tocsin.guard._answer import Answer
from tocsin.guard._declare import Options
from tocsin.guard._steps import Returned
from tocsin.guard.stores import Claim, Granted
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction, _claims
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS
from tocsin.signing import KeyRing, Message, Secret, preset, sign

SUBMITTERS = 64

WEEK_MS = 7 * 86_400_000

INSERT = "INSERT INTO orders (receipt) VALUES (?)"

SECRET = Secret(b"a secret of the bench, 32 octets", key_id="k1")

BODY_BYTES = 256

JSON_ANSWER = Answer(200, (("Content-Type", "application/json"),), b'{"status":"processed","receipt":"0123456789"}')

Rates: TypeAlias = dict[str, float]


def claim() -> Claim:
    key = secrets.token_bytes(32)
    return Claim(key, "main", "/order", b"R" + key, NOW_UNIX_MS, NOW_UNIX_MS + WEEK_MS, None, None)


def database(path: Path, kept: int) -> Path:
    """A file with the application's table and so many claims under random keys, in the order of their arrival."""
    SQLiteStore(path).close()
    db = connected(path, "OFF")
    db.execute("PRAGMA cache_size = -1000000")
    db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, receipt TEXT)")
    db.execute("BEGIN")
    db.execute(
        "INSERT INTO tocsin_claims (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms,"
        " due_unix_ms, status, headers, body)"
        " WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)"
        " SELECT randomblob(32), 1, 'main', '/order', randomblob(33), ?, ? + n, ? + n, 201, ?, ? FROM n",
        (kept, NOW_UNIX_MS, NOW_UNIX_MS, NOW_UNIX_MS, ANSWER.headers, ANSWER.body),
    )
    db.execute("DELETE FROM tocsin_claims WHERE ? = 0", (kept,))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path


def connected(path: Path, synchronous: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=30)
    db.execute(f"PRAGMA synchronous = {synchronous}")
    return db


class Requests:
    """Signed requests with random ids."""

    def __init__(self) -> None:
        self.scheme = preset("tocsin-v1")

    def one(self) -> Message:
        body = json.dumps({"data": "x" * (BODY_BYTES - 12)}).encode()
        headers = (("Idempotency-Key", f'"{secrets.token_hex(16)}"'), ("Content-Type", "application/json"))
        signed = sign(Message("POST", "/order", headers, body), self.scheme, SECRET, now=time.time())
        return Message("POST", "/order", headers + signed, body)


def handler(_signed: Signed, tx: Transaction) -> Returned:
    tx.execute(INSERT, ("0123456789",))
    return Returned(JSON_ANSWER)


class Guarded:
    """The whole function, without a framework."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self.store = SQLiteStore(path)
        guard: Guard[Transaction] = Guard(preset("tocsin-v1"), KeyRing.of(SECRET), self.store)
        options = Options(None, None, None, None)
        self.guarded = guard.guarded(handler, key=None, name="/order", options=options, store=self.store)
        self.perform(Requests().one())
        writer = self.store.turns.kept.writer
        assert writer is not None
        writer.connection.execute(f"PRAGMA synchronous = {synchronous}")

    def perform(self, message: Message) -> None:
        assert self.guarded.perform(message, handler).status == 200


def bare(path: Path, synchronous: str) -> Callable[[object], None]:
    db = connected(path, synchronous)

    def transact(_: object) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute(INSERT, ("0123456789",))
        db.execute("COMMIT")

    return transact


def timed(act: Callable[[Any], None], inputs: Sequence[Any], clock: Callable[[], float]) -> float:
    """The median of microseconds a call, of tens of calls each: one stall of the machine is not in it."""
    times = []
    for start in range(0, len(inputs), 20):
        some = inputs[start : start + 20]
        began = clock()
        for one in some:
            act(one)
        times.append((clock() - began) / len(some) * 1e6)
    return statistics.median(times)


def lengthen_log(path: Path, act: Callable[[Message], None], requests: Requests) -> None:
    """Until the log begins anew and grows no more, as in a service that has run for a while.

    While the file grows, each fsync writes of the file system's own as well, and takes half as long again. Its length
    is the guard's choice, so it would be the guard alone that is measured on a file that grows.
    """
    log = Path(f"{path}-wal")
    length = -1
    while length != (length := log.stat().st_size):
        # Each writes four pages, so a log that still grew would have.
        for _ in range(200):
            act(requests.one())


def one_caller(path: Path, calls: int) -> Rates:
    """Microseconds a call."""
    requests = Requests()
    found: Rates = {}
    for synchronous, clock, what in (("OFF", time.process_time, "cpu_us"), ("FULL", time.perf_counter, "wall_us")):
        guarded = Guarded(path, synchronous)
        lengthen_log(path, guarded.perform, requests)
        acts: list[tuple[str, Callable[[Any], None]]] = [
            ("bare", bare(path, synchronous)),
            ("guarded", guarded.perform),
        ]
        random.shuffle(acts)
        messages = [requests.one() for _ in range(calls)]
        for name, act in acts:
            found[f"{name} {what}"] = timed(act, messages, clock)
        found[f"replay {what}"] = timed(guarded.perform, messages, clock)
        guarded.store.close()
        restarted = Guarded(path, synchronous)
        found[f"replay after a restart {what}"] = timed(restarted.perform, messages, clock)
        restarted.store.close()
    return found


def batching_writer(path: Path, seconds: float) -> float:
    db = connected(path, "FULL")
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        db.execute("BEGIN IMMEDIATE")
        for _ in range(SUBMITTERS):
            mine = claim()
            _claims.take(db, mine)
            db.execute(INSERT, ("0123456789",))
            _claims.settle(db, mine, ANSWER)
        db.execute("COMMIT")
        done += SUBMITTERS
    rate = done / (time.perf_counter() - began)
    db.close()
    return rate


def of_threads(transact: Callable[[], None], threads: int, seconds: float) -> tuple[float, list[float]]:
    """Transactions a second, and how long each took, of so many threads that begin again when they are done."""
    start, took = Barrier(threads + 1), [list[float]() for _ in range(threads)]
    ends = 0.0

    def submit(mine: list[float]) -> None:
        start.wait()
        while (began := time.perf_counter()) < ends:
            transact()
            mine.append(time.perf_counter() - began)

    running = [Thread(target=submit, args=(mine,)) for mine in took]
    for thread in running:
        thread.start()
    began = time.perf_counter()
    ends = began + seconds
    start.wait()
    for thread in running:
        thread.join()
    everything = [one for mine in took for one in mine]
    return len(everything) / (time.perf_counter() - began), everything


def guarded_by(store: SQLiteStore) -> Callable[[], None]:
    def transact() -> None:
        granted = store.take(claim(), 30)
        assert isinstance(granted, Granted)
        granted.tx.execute(INSERT, ("0123456789",))
        granted.settle(ANSWER)

    return transact


def store_threads(path: Path, seconds: float) -> float:
    store = SQLiteStore(path)
    transact = guarded_by(store)
    transact()
    rate, _ = of_threads(transact, SUBMITTERS, seconds)
    store.close()
    return rate


def mutex_threads(path: Path, seconds: float) -> float:
    mutex, transact = Lock(), bare(path, "FULL")

    def locked() -> None:
        with mutex:
            transact(None)

    return of_threads(locked, SUBMITTERS, seconds)[0]


def store_tasks(path: Path, seconds: float) -> float:
    async def main() -> float:
        store = SQLiteStore(path)
        done = 0

        async def transact() -> None:
            nonlocal done
            granted = await store.take_async(claim(), 30)
            assert isinstance(granted, Granted)
            granted.tx.execute(INSERT, ("0123456789",))
            await granted.settle_async(ANSWER)
            done += 1

        async def submit(ends: float) -> None:
            while time.perf_counter() < ends:
                await transact()

        await transact()
        began = time.perf_counter()
        await asyncio.gather(*[submit(began + seconds) for _ in range(SUBMITTERS)])
        rate = done / (time.perf_counter() - began)
        await store.close_async()
        return rate

    return asyncio.run(main())


def submitters(path: Path, seconds: float) -> Rates:
    """Transactions a second."""
    subjects: dict[str, Callable[[Path, float], float]] = {
        "batching writer": batching_writer,
        "store, 64 tasks": store_tasks,
        "store, 64 threads": store_threads,
        "mutex, 64 threads": mutex_threads,
    }
    return {name: subjects[name](path, seconds) for name in random.sample(sorted(subjects), len(subjects))}
