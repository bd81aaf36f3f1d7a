"""The guard's tables, as PostgresStore and SQLiteStore make them: services on other frameworks share them.

Whoever made them first is welcome. There is no way back: a claim that is dropped lets its message take effect again.
"""

from typing import Any

from django.db import migrations

# "tocsin" in ASCII, as PostgresStore has it: of several that run CREATE TABLE IF NOT EXISTS at once, PostgreSQL fails
# some. The lock ends with the migration's transaction.
_POSTGRESQL = (
    "SELECT pg_advisory_xact_lock(128021758699886)",
    """
    CREATE TABLE IF NOT EXISTS tocsin_claims (
        key bytea PRIMARY KEY,
        version integer NOT NULL,
        tenant text NOT NULL,
        operation text NOT NULL,
        fingerprint bytea,
        taken_unix_ms bigint NOT NULL,
        answer_until_unix_ms bigint,
        claim_until_unix_ms bigint,
        due_unix_ms bigint,
        status integer,
        headers bytea,
        body bytea
    )
    """,
    "CREATE INDEX IF NOT EXISTS tocsin_claims_due ON tocsin_claims (due_unix_ms) WHERE due_unix_ms IS NOT NULL",
    """
    CREATE TABLE IF NOT EXISTS tocsin_forgotten (
        tenant text NOT NULL,
        operation text NOT NULL,
        taken_unix_ms bigint NOT NULL,
        PRIMARY KEY (tenant, operation)
    )
    """,
)
_SQLITE = (
    """
    CREATE TABLE IF NOT EXISTS tocsin_claims (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        operation TEXT NOT NULL,
        fingerprint BLOB,
        taken_unix_ms INTEGER NOT NULL,
        answer_until_unix_ms INTEGER,
        claim_until_unix_ms INTEGER,
        due_unix_ms INTEGER,
        status INTEGER,
        headers BLOB,
        body BLOB
    )
    """,
    "CREATE INDEX IF NOT EXISTS tocsin_claims_due ON tocsin_claims (due_unix_ms) WHERE due_unix_ms IS NOT NULL",
    """
    CREATE TABLE IF NOT EXISTS tocsin_forgotten (
        tenant TEXT NOT NULL,
        operation TEXT NOT NULL,
        taken_unix_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, operation)
    )
    """,
)
# On any other database of a project there is nothing to make, and DjangoStore refuses it when the service starts.
_STATEMENTS = {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}


def create(_apps: Any, schema_editor: Any) -> None:  # noqa: ANN401  Django has no types
    """Create what is missing."""
    for statement in _STATEMENTS.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement)


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """Runs `create`."""

    initial = True
    dependencies = ()
    operations = (migrations.RunPython(create),)
