"""The tables, and how a database gets them.

Rule: nothing is created by importing, by connecting or by a request. Of many sessions that run CREATE TABLE IF NOT
EXISTS at once, PostgreSQL fails some with a unique violation in its own catalogue; so they take turns by an advisory
lock, which ends with the transaction and so goes through PgBouncer as well.
"""

from textwrap import dedent
from types import MappingProxyType

from tocsin.guard.stores.postgres._talk import Talk, said

TABLES: MappingProxyType[str, str] = MappingProxyType(
    {
        # The same table as SQLite's but for what PostgreSQL has of itself: rows keep the order of arrival here without
        # an id, and unlike there due_unix_ms is written with the claim, so that storing the answer touches no index.
        "tocsin_claims": """
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
        "tocsin_claims_due": """
    CREATE INDEX IF NOT EXISTS tocsin_claims_due ON tocsin_claims (due_unix_ms) WHERE due_unix_ms IS NOT NULL
""",
        "tocsin_forgotten": """
    CREATE TABLE IF NOT EXISTS tocsin_forgotten (
        tenant text NOT NULL,
        operation text NOT NULL,
        taken_unix_ms bigint NOT NULL,
        PRIMARY KEY (tenant, operation)
    )
""",
        "tocsin_sequences": """
    CREATE TABLE IF NOT EXISTS tocsin_sequences (
        stream bytea PRIMARY KEY,
        number bigint NOT NULL,
        tenant text NOT NULL,
        operation text NOT NULL,
        moved_unix_ms bigint NOT NULL
    )
""",
    }
)

# "tocsin" in ASCII. Advisory locks are per database, and shared with whatever else uses them there.
_LOCK = 0x746F6373696E
_WAIT_S = 10


def _statements() -> list[str]:
    return [
        "BEGIN",
        f"SET LOCAL lock_timeout = '{_WAIT_S}s'",
        f"SELECT pg_advisory_xact_lock({_LOCK})",
        *TABLES.values(),
        "COMMIT",
    ]


def schema_sql() -> str:
    """What PostgresStore.migrate() runs, for a migration tool or for psql. It can be run again."""
    return "".join(f"{dedent(statement).strip()};\n" for statement in _statements())


def migrating() -> Talk[None]:
    """Create what is missing. Raises psycopg.Error."""
    yield from said(schema_sql())
