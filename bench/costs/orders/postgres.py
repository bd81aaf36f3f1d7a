"""Orders in PostgreSQL, by psycopg. Bare: a kept connection for whoever needs one; BEGIN, INSERT, COMMIT."""

from typing import Any

import psycopg

from bench.costs.orders.kept import MOST, Kept, KeptAsync
from tocsin.guard.stores.postgres import AsyncPostgresStore, AsyncTransaction, PostgresStore, Transaction

INSERT = "INSERT INTO orders (order_id, processed) VALUES (%s, 1)"


class OnThreads:
    def __init__(self, url: str) -> None:
        self.store = PostgresStore(url, max_connections=MOST)
        self._kept: Kept[psycopg.Connection[Any]] = Kept(lambda: psycopg.connect(url))

    def write(self, tx: Transaction, order_id: str) -> None:
        tx.execute(INSERT, (order_id,))

    def write_alone(self, order_id: str) -> None:
        with self._kept.lent() as connection:
            connection.execute(INSERT, (order_id,))
            connection.commit()


class OnTasks:
    def __init__(self, url: str) -> None:
        self.store = AsyncPostgresStore(url, max_connections=MOST)
        self._kept: KeptAsync[psycopg.AsyncConnection[Any]] = KeptAsync(lambda: psycopg.AsyncConnection.connect(url))

    async def write(self, tx: AsyncTransaction, order_id: str) -> None:
        await tx.execute(INSERT, (order_id,))

    async def write_alone(self, order_id: str) -> None:
        async with self._kept.lent() as connection:
            await connection.execute(INSERT, (order_id,))
            await connection.commit()
