"""The guard's streams, as PostgresStore and SQLiteStore make them: services on other frameworks share them.

Whoever made them first is welcome. There is no way back: a stream that is dropped lets an old message be applied again.
"""

from typing import Any

from django.db import migrations

# As in 0001_claims.
_POSTGRESQL = (
    "SELECT pg_advisory_xact_lock(128021758699886)",
    """
    CREATE TABLE IF NOT EXISTS tocsin_sequences (
        stream bytea PRIMARY KEY,
        number bigint NOT NULL,
        tenant text NOT NULL,
        operation text NOT NULL,
        moved_unix_ms bigint NOT NULL
    )
    """,
)
_SQLITE = (
    """
    CREATE TABLE IF NOT EXISTS tocsin_sequences (
        stream BLOB PRIMARY KEY,
        number INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        operation TEXT NOT NULL,
        moved_unix_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)
_STATEMENTS = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}


def create(_apps: Any, schema_editor: Any) -> None:  # noqa: ANN401  Django has no types
    """Create what is missing."""
    for statement in _STATEMENTS.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement)


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """Runs `create`."""

    dependencies = (("tocsin_guard", "0001_claims"),)
    operations = (migrations.RunPython(create),)
