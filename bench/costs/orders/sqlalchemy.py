"""Orders through SQLAlchemy's engine, on SQLite, PostgreSQL and MariaDB. Bare: a connection of its pool, commit().

On SQLite the bare form begins with the write lock, as the guarded one does.
"""

from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bench.costs.orders.kept import MOST
from tocsin.guard.stores.sqlalchemy import AsyncSQLAlchemyStore, SQLAlchemyStore

INSERT = text("INSERT INTO orders (order_id, processed) VALUES (:order_id, 1)")
_DRIVERS = {
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
    "postgresql": ("postgresql+psycopg", "postgresql+psycopg"),
    "mariadb": ("mariadb+pymysql", "mariadb+aiomysql"),
}


def engine_options(url: str, *, on_tasks: bool) -> dict[str, Any]:
    """What create_engine is told for the address that the raw stores are told."""
    name, colon, rest = url.partition("://")
    options: dict[str, Any] = {"pool_size": MOST, "max_overflow": 0}
    if not colon:
        name, rest, options["connect_args"] = "sqlite", f"/{url}", {"timeout": 20}
    return options | {"url": f"{_DRIVERS[name][on_tasks]}://{rest}"}


class OnThreads:
    def __init__(self, url: str) -> None:
        self._engine = create_engine(**engine_options(url, on_tasks=False))
        self.store = SQLAlchemyStore(self._engine)
        self._takes_lock = self._engine.dialect.name == "sqlite"

    def write(self, tx: Connection, order_id: str) -> None:
        tx.execute(INSERT, {"order_id": order_id})

    def write_alone(self, order_id: str) -> None:
        with self._engine.connect() as connection:
            if self._takes_lock:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.execute(INSERT, {"order_id": order_id})
            connection.commit()


class OnTasks:
    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(**engine_options(url, on_tasks=True))
        self.store = AsyncSQLAlchemyStore(self._engine)
        self._takes_lock = self._engine.dialect.name == "sqlite"

    async def write(self, tx: AsyncConnection, order_id: str) -> None:
        await tx.execute(INSERT, {"order_id": order_id})

    async def write_alone(self, order_id: str) -> None:
        async with self._engine.connect() as connection:
            if self._takes_lock:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            await connection.execute(INSERT, {"order_id": order_id})
            await connection.commit()
