"""Where the orders are: one server of each database for all rows, and a new database for each service.

The servers have their defaults: PostgreSQL and MariaDB wait for the disk at every COMMIT, Redis keeps nothing.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import pymysql
import redis

from bench.costs import processors
from bench.costs.trips import Trips
from lab._database import Database
from lab._mariadb import MariaDB
from lab._mariadb import missing as no_mariadb
from lab._postgres import Cluster, Daemon, free_port
from lab._postgres import missing as no_postgres
from tocsin.guard.stores import mariadb, postgres
from tocsin.guard.stores.sqlite import SQLiteStore

_ORDERS = "CREATE TABLE orders (order_id varchar(64) PRIMARY KEY, processed integer DEFAULT 0)"


@dataclass
class Place:
    """A server that runs, or SQLite, or memory.

    Args:
        new: makes a database there, by its number, on a port of the server or of what stands before it; its address.
        statements: how many the server has been told so far.
        port: where it listens; 0: it is no server.
        pids: its processes.
    """

    new: Callable[[int, int], str]
    statements: Callable[[], int] = lambda: 0
    port: int = 0
    pids: frozenset[int] = frozenset()


class Places:
    """Started when they are first asked for. A context manager: leaving it stops all of them.

    Args:
        counted: whether PostgreSQL counts statements, which costs it something.
    """

    def __init__(self, *, counted: bool = False) -> None:
        self._counted = counted
        self._kept = ExitStack()
        self._open: dict[str, Place] = {}
        self._numbers = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def place(self, name: str) -> Place:
        if name not in self._open:
            before = processors.children()
            self._open[name] = getattr(self, f"_{name}")()
            self._open[name].pids = frozenset(processors.children() - before)
        return self._open[name]

    def address(self, name: str, trips: Trips | None = None) -> str:
        """A new database of a place.

        Args:
            name: of the place.
            trips: is put before its server.
        """
        place = self.place(name)
        if trips is not None and place.port:
            return place.new(next(self._numbers), trips.before(place.port))
        return place.new(next(self._numbers), place.port)

    def _memory(self) -> Place:
        return Place(lambda _number, _port: "")

    def _sqlite(self) -> Place:
        folder = Path(self._kept.enter_context(TemporaryDirectory(prefix="tocsin-costs-")))

        def new(number: int, _port: int) -> str:
            path = folder / f"{number}.db"
            SQLiteStore(path).close()
            with closing(sqlite3.connect(path)) as db:
                db.execute(_ORDERS)
            return str(path)

        return Place(new)

    def _postgresql(self) -> Place:
        settings = ["max_connections=200", "shared_buffers=128MB", "deadlock_timeout=1s"]
        if self._counted:
            settings.append("shared_preload_libraries=pg_stat_statements")
        cluster = self._kept.enter_context(Cluster(*settings))
        asked = Database(cluster.port, "postgres")
        if self._counted:
            asked.query("CREATE EXTENSION pg_stat_statements")

        def new(number: int, port: int) -> str:
            made = Database.create(cluster, f"costs_{number}")
            made.query(postgres.schema_sql())
            made.query(_ORDERS)
            return f"postgresql://tocsin@127.0.0.1:{port}/{made.name}"

        def statements() -> int:
            return int(asked.value("SELECT coalesce(sum(calls), 0) FROM pg_stat_statements")) if self._counted else 0

        return Place(new, statements, cluster.port)

    def _mariadb(self) -> Place:
        server = self._kept.enter_context(MariaDB("max-connections=200", "innodb-buffer-pool-size=128M"))
        asked = self._kept.enter_context(
            pymysql.connect(host="127.0.0.1", port=server.port, user="tocsin", autocommit=True)
        )

        def new(number: int, port: int) -> str:
            with asked.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE costs_{number}")
                cursor.execute(f"CREATE TABLE costs_{number}.{_ORDERS.removeprefix('CREATE TABLE ')}")
            mariadb.MariaDBStore(f"mariadb://tocsin@127.0.0.1:{server.port}/costs_{number}").migrate()
            return f"mariadb://tocsin@127.0.0.1:{port}/costs_{number}"

        def statements() -> int:
            with asked.cursor() as cursor:
                cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
                row = cursor.fetchone()
            assert row is not None
            return int(row[1])

        return Place(new, statements, server.port)

    def _redis(self) -> Place:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program is not None
        port = free_port()
        words = f'exec "{program}" --port {port} --bind 127.0.0.1 --save "" >&2'
        daemon = Daemon(["sh", "-c", words], "Ready to accept connections", "KILL")
        daemon.start()
        self._kept.callback(daemon.stop)
        asked = self._kept.enter_context(redis.Redis(port=port))

        def statements() -> int:
            return int(asked.info("stats")["total_commands_processed"])

        return Place(lambda number, port: f"redis://127.0.0.1:{port}/{number % 16}", statements, port)


def missing() -> str:
    """Why this machine cannot run all of them, or ""."""
    no_redis = "" if shutil.which("redis-server") or shutil.which("valkey-server") else "apt-get install redis-server"
    return no_postgres() or no_mariadb() or no_redis
