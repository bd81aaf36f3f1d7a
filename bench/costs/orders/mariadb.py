"""Orders in MariaDB, by PyMySQL and aiomysql. Bare: a kept connection for whoever needs one; INSERT, COMMIT."""

from typing import Any

import aiomysql
import pymysql
from sqlalchemy.engine import make_url

from bench.costs.orders.kept import MOST, Kept, KeptAsync
from tocsin.guard.stores.mariadb import AsyncMariaDBStore, AsyncTransaction, MariaDBStore, Transaction

INSERT = "INSERT INTO orders (order_id, processed) VALUES (%s, 1)"


def where(url: str) -> dict[str, Any]:
    """The driver's words for "mariadb://user@host:port/database"."""
    parts = make_url(url)
    return {"host": parts.host, "port": parts.port, "user": parts.username, "db": parts.database}


class OnThreads:
    def __init__(self, url: str) -> None:
        self.store = MariaDBStore(url, max_connections=MOST)
        self._kept: Kept[pymysql.Connection[Any]] = Kept(lambda: pymysql.connect(**where(url)))

    def write(self, tx: Transaction, order_id: str) -> None:
        tx.execute(INSERT, (order_id,))

    def write_alone(self, order_id: str) -> None:
        with self._kept.lent() as connection:
            with connection.cursor() as cursor:
                cursor.execute(INSERT, (order_id,))
            connection.commit()


class OnTasks:
    def __init__(self, url: str) -> None:
        self.store = AsyncMariaDBStore(url, max_connections=MOST)
        self._kept: KeptAsync[Any] = KeptAsync(lambda: aiomysql.connect(**where(url)))

    async def write(self, tx: AsyncTransaction, order_id: str) -> None:
        await tx.execute(INSERT, (order_id,))

    async def write_alone(self, order_id: str) -> None:
        async with self._kept.lent() as connection:
            async with connection.cursor() as cursor:
                await cursor.execute(INSERT, (order_id,))
            await connection.commit()
