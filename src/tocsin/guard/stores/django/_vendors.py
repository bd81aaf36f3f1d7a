"""Which of a project's databases claims can be kept in."""

from typing import Any

from tocsin.guard._errors import GuardError
from tocsin.guard.stores.django._databases import Database
from tocsin.guard.stores.django._sqlite import SQLite


def database_of(connection: Any) -> Database:  # noqa: ANN401  Django has no types
    """What a connection speaks. Raises GuardError: claims cannot be kept there."""
    if connection.vendor == "sqlite":
        if connection.settings_dict["NAME"] in {"", ":memory:"}:
            raise GuardError(f"{connection.alias!r} is a SQLite database in memory; wanted a file, which threads share")
        return SQLite()
    if connection.vendor == "postgresql":
        from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: PLC0415  only with its driver

        if not is_psycopg3:
            raise GuardError(f"{connection.alias!r} uses psycopg2; wanted psycopg 3: pip install 'tocsin[postgres]'")
        from tocsin.guard.stores.django._postgresql import PostgreSQL  # noqa: PLC0415  likewise

        return PostgreSQL()
    raise GuardError(f"{connection.alias!r} is {connection.vendor}; wanted PostgreSQL or SQLite")
