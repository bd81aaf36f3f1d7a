"""A database on a server of ours, and questions to it past every service."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg.conninfo import make_conninfo

from lab._postgres import Cluster


@dataclass(slots=True)
class Database:
    """One database.

    Args:
        port: of its server, on 127.0.0.1.
        name: its name.
    """

    port: int
    name: str

    @classmethod
    def create(cls, cluster: Cluster, name: str) -> Self:
        """An empty database."""
        cls(cluster.port, "postgres").query(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return cls(cluster.port, name)

    def conninfo(self, **more: str | int) -> str:
        """How psycopg connects; `more` changes it."""
        usual: dict[str, str | int] = {
            "host": "127.0.0.1",
            "port": self.port,
            "dbname": self.name,
            "user": "tocsin",
            "sslmode": "disable",
        }
        return make_conninfo("", **(usual | more))

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own; what it returned."""
        with closing(psycopg.connect(self.conninfo(), autocommit=True)) as connection:
            cursor = connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description is not None else []

    def value(self, sql: str, *parameters: object) -> Any:  # noqa: ANN401  a row has the types of its query
        """The first column of its first row."""
        return self.query(sql, *parameters)[0][0]
