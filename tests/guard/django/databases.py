"""Databases of a Django project, made while its tests run: SQLite files and databases of the PostgreSQL cluster."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from tests.guard.adapters import django_site  # noqa: F401  sets Django up

# isort: split
from django.core.management import call_command
from django.db import connections, models
from django.db.backends.signals import connection_created

from tests.guard.postgres.cluster import Database

_NUMBERS = count(1)


class Order(models.Model):  # type: ignore[misc]  # Django has no types
    """What a handler writes."""

    order_id = models.TextField()

    class Meta:
        app_label = "shop"
        db_table = "orders"
        managed = False


class Project:
    """Aliases of one database.

    Attributes:
        settings: as in settings.DATABASES.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self._aliases: list[str] = []
        self._opened: list[tuple[str, Any]] = []

    def alias(self, **more: Any) -> str:
        """Another alias, with connections of its own; so it is like another process."""
        name = f"shop_{next(_NUMBERS)}"
        options = {**self.settings.get("OPTIONS", {}), **more.pop("OPTIONS", {})}
        whole = connections.configure_settings({"default": {**self.settings, **more, "OPTIONS": options}})
        connections.settings[name] = whole["default"]
        self._aliases.append(name)
        return name

    def migrated(self) -> str:
        """An alias of the database with the guard's tables."""
        name = self.alias()
        call_command("migrate", "tocsin_guard", database=name, verbosity=0)
        connections[name].close()
        return name

    def note(self, connection: Any, **_: Any) -> None:
        if connection.alias in self._aliases:
            self._opened.append((connection.alias, connection.connection))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What is committed, asked on a connection of its own."""
        with closing(connections[self._aliases[0]].copy()) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [] if cursor.description is None else list(cursor.fetchall())

    @property
    def orders(self) -> list[str]:
        return [order_id for (order_id,) in self.query("SELECT order_id FROM orders ORDER BY id")]

    @property
    def claims(self) -> int:
        return int(self.query("SELECT count(*) FROM tocsin_claims")[0][0])

    def hang_up(self, alias: str) -> None:
        """Close what threads that have ended left open under an alias."""
        for name, raw in self._opened:
            if name == alias:
                raw.close()

    def close(self) -> None:
        """Also the connections of threads that have ended."""
        for name in self._aliases:
            with suppress(AttributeError):
                del connections[name]
            del connections.settings[name]
        for _, raw in self._opened:
            raw.close()


@contextmanager
def project(settings: dict[str, Any]) -> Iterator[Project]:
    """A database for a test."""
    made = Project(settings)
    connection_created.connect(made.note)
    try:
        yield made
    finally:
        connection_created.disconnect(made.note)
        made.close()


def sqlite(path: Path) -> dict[str, Any]:
    options = {"init_command": "PRAGMA journal_mode = wal", "timeout": 20}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}


def postgresql(database: Database) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.name,
        "USER": "tocsin",
        "HOST": "127.0.0.1",
        "PORT": str(database.port),
        "OPTIONS": {"sslmode": "disable"},
    }
