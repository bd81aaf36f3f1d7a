"""The tables, and how a database gets them.

Rule: nothing is created by importing, by connecting or by a request. Names and keys are bytes: to MariaDB's collations
"A", "a" and "a " are one key, and utf8mb4_bin still pads with spaces. Sessions that create take turns by a named lock.
"""

from textwrap import dedent
from types import MappingProxyType

from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._talk import Say, Talk, said

MOST_TENANT = 255
MOST_OPERATION = 2048
TABLES: MappingProxyType[str, str] = MappingProxyType(
    {
        # InnoDB keeps rows in the order of their primary key, so that its locks are the key's and nothing else's. The
        # columns are those of the other databases. A stored answer is a LONGBLOB: no sql_mode cuts that off in silence.
        "tocsin_claims": f"""
    CREATE TABLE IF NOT EXISTS tocsin_claims (
        `key` binary(32) NOT NULL PRIMARY KEY,
        version int NOT NULL,
        tenant varbinary({MOST_TENANT}) NOT NULL,
        operation varbinary({MOST_OPERATION}) NOT NULL,
        fingerprint varbinary(64),
        taken_unix_ms bigint NOT NULL,
        answer_until_unix_ms bigint,
        claim_until_unix_ms bigint,
        due_unix_ms bigint,
        status int,
        headers longblob,
        `body` longblob,
        KEY tocsin_claims_due (due_unix_ms)
    ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC
""",
        "tocsin_forgotten": f"""
    CREATE TABLE IF NOT EXISTS tocsin_forgotten (
        tenant varbinary({MOST_TENANT}) NOT NULL,
        operation varbinary({MOST_OPERATION}) NOT NULL,
        taken_unix_ms bigint NOT NULL,
        PRIMARY KEY (tenant, operation)
    ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC
""",
        "tocsin_sequences": f"""
    CREATE TABLE IF NOT EXISTS tocsin_sequences (
        stream binary(32) NOT NULL PRIMARY KEY,
        number bigint NOT NULL,
        tenant varbinary({MOST_TENANT}) NOT NULL,
        operation varbinary({MOST_OPERATION}) NOT NULL,
        moved_unix_ms bigint NOT NULL
    ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC
""",
    }
)
_LOCK = "CONCAT('tocsin ', DATABASE())"
_WAIT_S = 10


def _statements() -> tuple[str, ...]:
    creating = [dedent(statement).strip() for statement in TABLES.values()]
    # A server that puts another engine in InnoDB's place says so in a warning only; the next connection looks.
    return (
        f"DO GET_LOCK({_LOCK}, {_WAIT_S})",
        *creating,
        f"DO RELEASE_LOCK({_LOCK})",
    )


def schema_sql() -> str:
    """What MariaDBStore.migrate() runs, for a migration tool or for the mariadb client. It can be run again."""
    return "".join(f"{statement};\n" for statement in _statements())


def migrating(session: Session) -> Talk[None]:
    """Create what is missing. Raises pymysql.Error."""
    for statement in _statements():
        yield from said(Say(session, (statement,)))
