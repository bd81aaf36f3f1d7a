"""Outboxes in real databases, each with a table of orders beside it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lab._postgres import missing
from tests.guard.postgres.cluster import Cluster
from tocsin.outbox import Outbox
from tocsin.outbox.postgres import PostgresOutbox
from tocsin.outbox.sqlite import SQLiteOutbox


@dataclass
class Place:
    """A database with an outbox.

    Attributes:
        outbox: its table is there.
        begun: a transaction of the driver's own; committed unless the block raises.
        config: [store] of a configuration, and the environment that it needs.
    """

    outbox: Outbox
    begun: Callable[[], AbstractContextManager[Any]]
    config: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One server for all tests of the outbox."""
    if missing():
        pytest.skip(missing())
    with Cluster("fsync=off") as running:
        yield running


def _sqlite(path: Path) -> Iterator[Place]:
    @contextmanager
    def begun() -> Iterator[Any]:
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            yield connection

    outbox = SQLiteOutbox(path)
    outbox.migrate()
    yield Place(outbox, begun, f'sqlite = "{path}"', {})


def postgres_place(conninfo: str) -> Place:
    """An outbox in the database that is reached so."""

    @contextmanager
    def begun() -> Iterator[Any]:
        with psycopg.connect(conninfo) as connection:
            yield connection

    outbox = PostgresOutbox(conninfo)
    outbox.migrate()
    return Place(outbox, begun, 'postgres_env = "OUTBOX_DSN"', {"OUTBOX_DSN": conninfo})


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A database with an outbox, of each kind."""
    if request.param == "sqlite":
        yield from _sqlite(tmp_path / "orders.db")
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        with cluster.database() as database:
            yield postgres_place(database.conninfo())


@pytest.fixture
def file_place(tmp_path: Path) -> Iterator[Place]:
    """A file of SQLite, where the database makes no difference."""
    yield from _sqlite(tmp_path / "orders.db")
