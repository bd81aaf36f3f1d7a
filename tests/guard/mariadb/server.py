"""MariaDB for tests: databases with the guard's tables, and questions to them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any

import pymysql

from lab._mariadb import MariaDB
from tocsin.guard.stores.mariadb import schema_sql

# Whether so many sessions of the server wait for a lock of InnoDB's. INNODB_TRX is no use for asking again and again:
# whoever looks within a tenth of a second is shown what it showed before.
WAITING = (
    "SELECT VARIABLE_VALUE >= %s FROM information_schema.GLOBAL_STATUS "
    "WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'"
)
_NUMBERS = count(1)
UNTIL_S = 20.0


@dataclass(slots=True)
class Database:
    """One database, with the guard's tables and a table of orders.

    Args:
        port: of its server, on 127.0.0.1.
        name: its name.
    """

    port: int
    name: str

    def url(self, *, port: int | None = None, options: str = "") -> str:
        """How a store is told."""
        return f"mariadb://tocsin@127.0.0.1:{port or self.port}/{self.name}{options}"

    def connect(self, **more: Any) -> "pymysql.Connection[Any]":
        """A connection of the test's own, in autocommit."""
        usual: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": "tocsin", "database": self.name}
        connection: pymysql.Connection[Any] = pymysql.connect(**(usual | {"autocommit": True} | more))
        return connection

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own; what it returned."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def run(self, *statements: str) -> None:
        """Run statements on one connection."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def value(self, sql: str, *parameters: object) -> Any:
        """The first column of its first row."""
        return self.query(sql, *parameters)[0][0]

    @property
    def orders(self) -> list[str]:
        return [order_id for (order_id,) in self.query("SELECT order_id FROM orders ORDER BY id")]

    @property
    def claims(self) -> int:
        return int(self.value("SELECT COUNT(*) FROM tocsin_claims"))

    def await_waiting(self, number: int = 1) -> None:
        """Until so many sessions wait for a lock."""
        self.until(lambda ask: bool(ask(WAITING, number)[0][0]))

    def until(self, holds: Callable[[Callable[..., Any]], bool]) -> None:
        """Ask the server until it says so; each question is a transaction of its own."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:

            def ask(sql: str, *parameters: object) -> Any:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall()

            # By the clock: a question that does not go to the server takes no time.
            deadline = monotonic() + UNTIL_S
            while monotonic() < deadline:
                if holds(ask):
                    return
        raise AssertionError("it did not come about")


@contextmanager
def database_on(server: MariaDB) -> Iterator[Database]:
    """A database with the guard's tables; dropped afterwards."""
    with empty_on(server) as made:
        made.run(*schema_sql().split(";\n")[:-1])
        made.query("CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, order_id varchar(100) NOT NULL)")
        yield made


@contextmanager
def empty_on(server: MariaDB) -> Iterator[Database]:
    """A database without any table; dropped afterwards, with whoever is connected."""
    made = Database(server.port, f"test_{next(_NUMBERS)}")
    Database(server.port, "mysql").query(f"CREATE DATABASE {made.name} CHARACTER SET latin1")
    try:
        yield made
    finally:
        there = Database(server.port, "mysql")
        for (number,) in there.query("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s", made.name):
            if is_there(there, number):
                there.query(f"KILL HARD CONNECTION {number}")
        there.query(f"DROP DATABASE {made.name}")


def is_there(database: Database, number: int) -> bool:
    return bool(database.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = %s", number))
