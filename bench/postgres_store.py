"""What does the guard add to a PostgreSQL transaction? `python -m bench.postgres_store [--quick]`

One process on a PostgreSQL of its own (its defaults, fsync on), no HTTP. Each transaction takes one piece of one of
1000 items. `bare` is that alone, as a developer writes it with psycopg on a kept connection: UPDATE, commit(), which is
BEGIN, UPDATE and COMMIT on the wire. `plain` does by hand what the guard does: INSERT of the claim, UPDATE, UPDATE with
the answer; five trips. `guarded` is take, UPDATE, settle. On 1 and 32 connections, with threads and with tasks, on a
table of claims that is empty and on one that keeps a million. Ids are random.

In every round each subject runs once, in random order; ratios are taken within a round. `cpu_us` is processor time for
each transaction, of this process and of the server's: what a wait leaves out. Writes bench/results/postgres_store.json.
"""

import argparse
import asyncio
import gc
import json
import logging
import random
import secrets
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import psycopg

from bench._host import facts
from bench._rounds import ratio
from lab._database import Database
from lab._postgres import Cluster, missing
from tocsin.guard.stores import Claim, Granted
from tocsin.guard.stores.postgres import AsyncPostgresStore, PostgresStore, schema_sql
from tocsin.guard.stores.postgres._async_unit import AsyncUnit
from tocsin.guard.testing import ANSWER

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "postgres_store.json"
KEPT = 1_000_000
CONNECTIONS = (1, 32)
MUST = {1: 0.75, 32: 0.65}
GOAL = {1: 0.9, 32: 0.8}
WEEK_MS = 7 * 86_400_000
TAKE_ONE = "UPDATE stock SET pieces = pieces - 1 WHERE item = %s"
CLAIM = (
    "INSERT INTO tocsin_claims (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, "
    "due_unix_ms) VALUES (%s, 1, 'main', '/order', %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING RETURNING 1"
)
SETTLE = "UPDATE tocsin_claims SET status = %s, headers = %s, body = %s WHERE key = %s"
KEEP = (
    "INSERT INTO tocsin_claims SELECT sha256(n::text::bytea), 1, 'main', '/order', sha256(n::text::bytea), %(now)s, "
    "%(now)s + n, NULL, %(now)s + n, 201, %(headers)s, %(body)s FROM generate_series(1, %(kept)s) n"
)
Transact: TypeAlias = Callable[[], None]
TransactAsync: TypeAlias = Callable[[], Awaitable[None]]


def claim() -> Claim:
    key, now_unix_ms = secrets.token_bytes(32), round(time.time() * 1000)
    return Claim(key, "main", "/order", b"R" + key, now_unix_ms, now_unix_ms + WEEK_MS, None, None)


def written(wanted: Claim) -> tuple[object, ...]:
    until = wanted.answer_until_unix_ms
    return (wanted.key, wanted.fingerprint, wanted.taken_unix_ms, until, until)


def item() -> tuple[int]:
    return (random.randrange(1000),)


def bare(connection: psycopg.Connection[Any]) -> Transact:
    def transact() -> None:
        connection.execute(TAKE_ONE, item())
        connection.commit()

    return transact


def plain(connection: psycopg.Connection[Any]) -> Transact:
    def transact() -> None:
        wanted = claim()
        if connection.execute(CLAIM, written(wanted)).fetchone() is not None:
            connection.execute(TAKE_ONE, item())
            connection.execute(SETTLE, (ANSWER.status, ANSWER.headers, ANSWER.body, wanted.key))
        connection.commit()

    return transact


def guarded(store: PostgresStore) -> Transact:
    def transact() -> None:
        granted = store.take(claim(), 2.0)
        assert isinstance(granted, Granted)
        granted.tx.execute(TAKE_ONE, item())
        granted.settle(ANSWER)

    return transact


def bare_async(connection: psycopg.AsyncConnection[Any]) -> TransactAsync:
    async def transact() -> None:
        await connection.execute(TAKE_ONE, item())
        await connection.commit()

    return transact


def plain_async(connection: psycopg.AsyncConnection[Any]) -> TransactAsync:
    async def transact() -> None:
        wanted = claim()
        cursor = await connection.execute(CLAIM, written(wanted))
        if await cursor.fetchone() is not None:
            await connection.execute(TAKE_ONE, item())
            await connection.execute(SETTLE, (ANSWER.status, ANSWER.headers, ANSWER.body, wanted.key))
        await connection.commit()

    return transact


def guarded_async(store: AsyncPostgresStore) -> TransactAsync:
    async def transact() -> None:
        granted = await store.take_async(claim(), 2.0)
        assert isinstance(granted, AsyncUnit)
        await granted.tx.execute(TAKE_ONE, item())
        await granted.settle_async(ANSWER)

    return transact


class Threads:
    """Transactions on so many threads, each with a connection of its own."""

    def __init__(self, conninfo: str, count: int) -> None:
        self._connections = [psycopg.connect(conninfo) for _ in range(2 * count)]
        self._store = PostgresStore(conninfo, max_connections=count)
        self.subjects = {
            "bare": [bare(connection) for connection in self._connections[:count]],
            "plain": [plain(connection) for connection in self._connections[count:]],
            "guarded": [guarded(self._store)] * count,
        }

    def run(self, subject: str, seconds: float) -> int:
        counts: list[int] = []
        threads = [Thread(target=repeat, args=(each, seconds, counts)) for each in self.subjects[subject]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts)

    def close(self) -> None:
        self._store.close()
        for connection in self._connections:
            connection.close()


def repeat(transact: Transact, seconds: float, counts: list[int]) -> None:
    until, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        transact()
        count += 1
    counts.append(count)


class Tasks:
    """Transactions on so many tasks of one event loop, each with a connection of its own."""

    def __init__(self, conninfo: str, count: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._connections = [
            self._loop.run_until_complete(psycopg.AsyncConnection.connect(conninfo)) for _ in range(2 * count)
        ]
        self._store = AsyncPostgresStore(conninfo, max_connections=count)
        self.subjects = {
            "bare": [bare_async(connection) for connection in self._connections[:count]],
            "plain": [plain_async(connection) for connection in self._connections[count:]],
            "guarded": [guarded_async(self._store)] * count,
        }

    def run(self, subject: str, seconds: float) -> int:
        async def together() -> list[int]:
            return await asyncio.gather(*[repeat_async(each, seconds) for each in self.subjects[subject]])

        return sum(self._loop.run_until_complete(together()))

    def close(self) -> None:
        self._loop.run_until_complete(self._store.close_async())
        for connection in self._connections:
            self._loop.run_until_complete(connection.close())
        self._loop.close()


async def repeat_async(transact: TransactAsync, seconds: float) -> int:
    until, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        await transact()
        count += 1
    return count


def server_cpu_s(database: Database) -> float:
    """Processor time of the server's sessions, as Linux counts it."""
    pids = database.query(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    schedules = [Path(f"/proc/{pid}/schedstat") for (pid,) in pids]
    return sum(int(each.read_text().split()[0]) for each in schedules if each.exists()) / 1e9


def fill(database: Database, kept: int) -> None:
    """Leave so many claims in the table."""
    database.query("TRUNCATE tocsin_claims")
    with psycopg.connect(database.conninfo(), autocommit=True) as connection:
        connection.execute(
            KEEP, {"now": round(time.time() * 1000), "kept": kept, "headers": ANSWER.headers, "body": ANSWER.body}
        )
        connection.execute("VACUUM (ANALYZE) tocsin_claims")
        connection.execute("CHECKPOINT")


def measure(database: Database, kept: int, rounds: int, seconds: float) -> dict[str, Any]:
    per_s: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    cpu_us: dict[tuple[str, int, str], list[tuple[float, float]]] = defaultdict(list)
    ways: dict[str, type[Threads | Tasks]] = {"threads": Threads, "tasks": Tasks}
    open_ones = {(way, count): made(database.conninfo(), count) for way, made in ways.items() for count in CONNECTIONS}
    cells = [(way, count, subject) for way, count in open_ones for subject in ("bare", "plain", "guarded")]
    for way, count, subject in cells:
        open_ones[way, count].run(subject, 0.1)
    for _ in range(rounds):
        random.shuffle(cells)
        for cell in cells:
            if not kept:
                database.query("TRUNCATE tocsin_claims")
            way, count, subject = cell
            gc.collect()
            ours, theirs, began = time.process_time(), server_cpu_s(database), time.perf_counter()
            done = open_ones[way, count].run(subject, seconds)
            per_s[cell].append(done / (time.perf_counter() - began))
            spent = (time.process_time() - ours, server_cpu_s(database) - theirs)
            cpu_us[cell].append((spent[0] / done * 1e6, spent[1] / done * 1e6))
    for way_open in open_ones.values():
        way_open.close()
    return {
        f"{way}, {count} connections": {
            "per_s": {name: round(statistics.median(per_s[way, count, name])) for name in ("bare", "plain", "guarded")},
            "cpu_us": {
                name: {
                    "client": round(statistics.median(own for own, _ in cpu_us[way, count, name]), 1),
                    "server": round(statistics.median(other for _, other in cpu_us[way, count, name]), 1),
                }
                for name in ("bare", "plain", "guarded")
            },
            "guarded/bare": ratio(per_s[way, count, "guarded"], per_s[way, count, "bare"]),
            "guarded/plain": ratio(per_s[way, count, "guarded"], per_s[way, count, "plain"]),
            "must": MUST[count],
            "goal": GOAL[count],
        }
        for way, count in open_ones
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each cell in each round (default 10)")
    parser.add_argument("--kept", type=int, default=KEPT)
    parser.add_argument("--quick", action="store_true", help="under two minutes, for a rough idea; not written")
    args = parser.parse_args()
    rounds, seconds = (4, 0.4) if args.quick else (args.rounds, args.seconds)
    logging.disable(logging.CRITICAL)
    result: dict[str, Any] = {"what": "transactions a second", "host": facts(), "rounds": rounds, "seconds": seconds}
    if missing():
        raise SystemExit(missing())
    with Cluster("shared_buffers=128MB", "deadlock_timeout=1s", "max_connections=300") as running:
        database = Database.create(running, "bench")
        database.query(schema_sql())
        result["server"] = database.value("SHOW server_version")
        result["psycopg"] = f"{psycopg.__version__} ({psycopg.pq.__impl__})"
        database.query("CREATE TABLE stock (item integer PRIMARY KEY, pieces integer NOT NULL) WITH (fillfactor = 50)")
        database.query("INSERT INTO stock SELECT n, 1000000000 FROM generate_series(0, 999) n")
        for kept in (0, args.kept):
            fill(database, kept)
            result[f"{kept} claims kept"] = measure(database, kept, rounds, seconds)
    if not args.quick:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
