"""A database with orders, claims and an outbox, named by one text: a path, or a connection string."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from tocsin.guard.stores import Store
from tocsin.guard.stores.postgres import PostgresStore
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.outbox import Outbox
from tocsin.outbox.postgres import PostgresOutbox
from tocsin.outbox.sqlite import SQLiteOutbox
from tocsin.signing import Secret

SECRET = Secret(b"a secret of the bench, 32 octets")
_ORDERS = "CREATE TABLE IF NOT EXISTS orders (order_id text NOT NULL)"
_SELECT = "SELECT order_id FROM orders"


@dataclass(frozen=True)
class Place:
    """What the service and the storm need of it."""

    name: str
    store: Store[Any]
    outbox: Outbox
    insert: str
    config: str

    def orders(self) -> list[str]:
        """The orders that are committed, each as often as it is."""
        if _is_postgres(self.name):
            with closing(psycopg.connect(self.name)) as server:
                return [order_id for (order_id,) in server.execute(_SELECT)]
        with closing(sqlite3.connect(self.name, timeout=60)) as file:
            return [order_id for (order_id,) in file.execute(_SELECT)]

    def migrate(self) -> None:
        """Make every table."""
        self.outbox.migrate()
        if isinstance(self.store, PostgresStore):
            self.store.migrate()
            with psycopg.connect(self.name) as server:
                server.execute(_ORDERS)
        else:
            with closing(sqlite3.connect(self.name, isolation_level=None)) as file:
                file.execute(_ORDERS)


def place(name: str) -> Place:
    """The place of that name."""
    if _is_postgres(name):
        insert = "INSERT INTO orders (order_id) VALUES (%s)"
        return Place(name, PostgresStore(name), PostgresOutbox(name), insert, 'postgres_env = "OUTBOX_PLACE"')
    insert = "INSERT INTO orders (order_id) VALUES (?)"
    return Place(name, SQLiteStore(name), SQLiteOutbox(name), insert, f'sqlite = "{name}"')


def _is_postgres(name: str) -> bool:
    return "dbname=" in name
