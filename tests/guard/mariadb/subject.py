"""MariaDB as the contract suite wants it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pymysql

from tests.guard.mariadb.server import Database
from tocsin.guard.stores.mariadb import AsyncMariaDBStore, AsyncTransaction, MariaDBStore, Transaction

EFFECT = "INSERT INTO effects () VALUES ()"


class Effects:
    """A table of the application."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.query("CREATE TABLE effects (id bigint AUTO_INCREMENT PRIMARY KEY)")

    def effects(self) -> int:
        return int(self.database.value("SELECT COUNT(*) FROM effects"))


class MariaDBSubject(Effects):
    """A database; every store that is opened on it has its own connections, as another process would.

    Args:
        database: which one.
        first: what the application says on each of its connections.
    """

    def __init__(self, database: Database, first: str = "") -> None:
        super().__init__(database)
        self._connect: str | Callable[[], pymysql.Connection[Any]] = database.url()
        if first:
            self._connect = partial(database.connect, autocommit=False, init_command=first)

    def open(self) -> MariaDBStore:
        return MariaDBStore(self._connect)

    def write_effect(self, tx: Transaction) -> None:
        tx.execute(EFFECT)


class AsyncMariaDBSubject(Effects):
    """Likewise, for tasks."""

    def open(self) -> AsyncMariaDBStore:
        return AsyncMariaDBStore(self.database.url())

    async def write_effect(self, tx: AsyncTransaction) -> None:
        await tx.execute(EFFECT)
