"""What does the guard add to a transaction on MariaDB, and through SQLAlchemy? `python -m bench.more_stores [--quick]`

One process on servers of its own (their defaults, fsync on), no HTTP. Each transaction takes one piece of one of 1000
items. `bare` is that alone, on a kept connection or through the engine's pool, as a developer writes it; `guarded` is
take, UPDATE, settle. On 1 and 8 threads. Ids are random; the table of claims is emptied before each cell.

In every round each subject runs once, in random order; ratios are taken within a round, and `cpu_us` is the processor
time of this process for each transaction. Writes bench/results/more_stores.json.
"""

import argparse
import gc
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pymysql
from sqlalchemy import Engine, create_engine, text

from bench._host import facts
from bench._rounds import ratio
from bench.postgres_store import claim, item, repeat
from lab._database import Database
from lab._mariadb import MariaDB
from lab._mariadb import missing as no_mariadb
from lab._postgres import Cluster
from lab._postgres import missing as no_postgres
from tocsin.guard.stores import Granted
from tocsin.guard.stores.mariadb import MariaDBStore
from tocsin.guard.stores.sqlalchemy import SQLAlchemyStore
from tocsin.guard.testing import ANSWER

RESULTS = Path(__file__).parent / "results" / "more_stores.json"
THREADS = (1, 8)
TAKE_ONE = "UPDATE stock SET pieces = pieces - 1 WHERE item = %s"
TAKE_ONE_TEXT = text("UPDATE stock SET pieces = pieces - 1 WHERE item = :item")
Transact = Callable[[], None]


def bare(connection: "pymysql.Connection[Any]") -> Transact:
    def transact() -> None:
        with connection.cursor() as cursor:
            cursor.execute(TAKE_ONE, item())
        connection.commit()

    return transact


def guarded(store: MariaDBStore) -> Transact:
    def transact() -> None:
        granted = store.take(claim(), 10.0)
        assert isinstance(granted, Granted)
        granted.tx.execute(TAKE_ONE, item())
        granted.settle(ANSWER)

    return transact


def bare_engine(engine: Engine, begin: str) -> Transact:
    def transact() -> None:
        with engine.connect() as connection:
            if begin:
                connection.exec_driver_sql(begin)
            connection.execute(TAKE_ONE_TEXT, {"item": item()[0]})
            connection.commit()

    return transact


def guarded_engine(store: SQLAlchemyStore) -> Transact:
    def transact() -> None:
        granted = store.take(claim(), 10.0)
        assert isinstance(granted, Granted)
        granted.tx.execute(TAKE_ONE_TEXT, {"item": item()[0]})
        granted.settle(ANSWER)

    return transact


class Subject:
    """One way to write, on one database.

    Args:
        makes: a transaction for each thread.
        engine: to empty the table of claims with.
    """

    def __init__(self, makes: Callable[[], Transact], engine: Engine) -> None:
        self._transacts = [makes() for _ in range(max(THREADS))]
        self._engine = engine

    def run(self, threads: int, seconds: float) -> int:
        with self._engine.begin() as connection:
            connection.execute(text("DELETE FROM tocsin_claims"))
        counts: list[int] = []
        running = [Thread(target=repeat, args=(each, seconds, counts)) for each in self._transacts[:threads]]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return sum(counts)


def stocked(url: str) -> Engine:
    engine = create_engine(url, pool_size=max(THREADS) + 1)
    SQLAlchemyStore(engine).migrate()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stock (item integer PRIMARY KEY, pieces integer NOT NULL)"))
        connection.execute(
            text("INSERT INTO stock VALUES (:item, 1000000000)"), [{"item": number} for number in range(1000)]
        )
    return engine


def on_engine(engine: Engine, begin: str = "") -> dict[str, Subject]:
    store = SQLAlchemyStore(engine, max_connections=max(THREADS))
    return {
        "bare": Subject(lambda: bare_engine(engine, begin), engine),
        "guarded": Subject(lambda: guarded_engine(store), engine),
    }


@contextmanager
def subjects() -> Iterator[dict[str, dict[str, Subject]]]:
    with ExitStack() as kept:
        mariadb, cluster = kept.enter_context(MariaDB()), kept.enter_context(Cluster("max_connections=100"))
        with pymysql.connect(host="127.0.0.1", port=mariadb.port, user="tocsin") as connection:
            connection.cursor().execute("CREATE DATABASE bench")
        where: dict[str, Any] = {"host": "127.0.0.1", "port": mariadb.port, "user": "tocsin", "database": "bench"}
        url = f"tocsin@127.0.0.1:{mariadb.port}/bench"
        on_mariadb = stocked(f"mariadb+pymysql://{url}")
        store = MariaDBStore(f"mariadb://{url}", max_connections=max(THREADS))
        Database.create(cluster, "bench")
        on_postgres = stocked(f"postgresql+psycopg://tocsin@127.0.0.1:{cluster.port}/bench?sslmode=disable")
        directory = kept.enter_context(tempfile.TemporaryDirectory())
        on_sqlite = stocked(f"sqlite:///{directory}/bench.db")
        with on_sqlite.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = wal")
        yield {
            "MariaDB, PyMySQL": {
                "bare": Subject(lambda: bare(pymysql.connect(**where)), on_mariadb),
                "guarded": Subject(lambda: guarded(store), on_mariadb),
            },
            "MariaDB, SQLAlchemy": on_engine(on_mariadb),
            "PostgreSQL, SQLAlchemy": on_engine(on_postgres),
            "SQLite (WAL), SQLAlchemy": on_engine(on_sqlite, "BEGIN IMMEDIATE"),
        }
        store.close()
        for engine in (on_mariadb, on_postgres, on_sqlite):
            engine.dispose()


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    per_s: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    cpu_us: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    with subjects() as all_of_them:
        cells = [(way, count, name) for way in all_of_them for count in THREADS for name in ("bare", "guarded")]
        for way, count, name in cells:
            all_of_them[way][name].run(count, 0.05)
        for _ in range(rounds):
            random.shuffle(cells)
            for cell in cells:
                way, count, name = cell
                gc.collect()
                spent, began = time.process_time(), time.perf_counter()
                done = all_of_them[way][name].run(count, seconds)
                per_s[cell].append(done / (time.perf_counter() - began))
                cpu_us[cell].append((time.process_time() - spent) / done * 1e6)
    return {
        f"{way}, {count} threads": {
            "per_s": {name: round(statistics.median(per_s[way, count, name])) for name in ("bare", "guarded")},
            "cpu_us": {name: round(statistics.median(cpu_us[way, count, name]), 1) for name in ("bare", "guarded")},
            "guarded/bare": ratio(per_s[way, count, "guarded"], per_s[way, count, "bare"]),
        }
        for way in all_of_them
        for count in THREADS
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each cell in each round (default 1)")
    parser.add_argument("--quick", action="store_true", help="half a minute, for a rough idea; not written")
    args = parser.parse_args()
    rounds, seconds = (3, 0.3) if args.quick else (args.rounds, args.seconds)
    logging.disable(logging.CRITICAL)
    if no_mariadb() or no_postgres():
        raise SystemExit(no_mariadb() or no_postgres())
    result = {"what": "transactions a second", "host": facts(), "rounds": rounds, "seconds": seconds}
    result |= measure(rounds, seconds)
    if not args.quick:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
