"""The table, and what is said about it: the same words for every database, but for how a driver spells values. PURE.

A message that waits has due_unix_ms. Taking it moves that into the future: the lease. A runner that dies leaves it
there, and the message is due again when the lease ends. A taking counts as a failure until it is settled: a message
that kills its runners is not sent for ever.
"""

import re
from types import MappingProxyType

TABLE = "tocsin_outbox"
_VALUE = re.compile(r":([a-z_]+)")
_COLUMNS = MappingProxyType(
    {
        "sqlite": {"text": "TEXT", "bytes": "BLOB", "number": "INTEGER"},
        "postgres": {"text": "text", "bytes": "bytea", "number": "bigint"},
    }
)

PUT = """
    INSERT INTO tocsin_outbox (id, destination, content_type, body, put_unix_ms, due_unix_ms, attempts, failures)
    VALUES (:id, :destination, :content_type, :body, :put, :due, 0, 0)
"""
IS_DUE = "SELECT 1 FROM tocsin_outbox WHERE destination = :destination AND due_unix_ms <= :now LIMIT 1"
_TAKE = """
    UPDATE tocsin_outbox SET due_unix_ms = :again, attempts = attempts + 1, failures = failures + 1
    WHERE id = (
        SELECT id FROM tocsin_outbox WHERE destination = :destination AND due_unix_ms <= :now
        ORDER BY due_unix_ms, id LIMIT 1 {locking}
    )
    RETURNING id, destination, content_type, body, attempts, failures - 1
"""
# Only whoever took it last may settle it: `attempts` is the fencing token.
SETTLE = """
    UPDATE tocsin_outbox
    SET due_unix_ms = :due, ended_unix_ms = :ended, state = :state, failures = :failures, error = :error
    WHERE id = :id AND attempts = :attempt AND state = 'waiting'
"""
RESEND = """
    UPDATE tocsin_outbox SET due_unix_ms = :now, ended_unix_ms = NULL, state = 'waiting', failures = 0
    WHERE id = :id AND state <> 'waiting'
"""
RESEND_DEAD = """
    UPDATE tocsin_outbox SET due_unix_ms = :now, ended_unix_ms = NULL, state = 'waiting', failures = 0
    WHERE state = 'dead' AND (CAST(:destination AS text) IS NULL OR destination = :destination)
"""
LIST = """
    SELECT id, destination, state, attempts, length(body), put_unix_ms, due_unix_ms, ended_unix_ms, error
    FROM tocsin_outbox
    WHERE (CAST(:state AS text) IS NULL OR state = :state)
        AND (CAST(:destination AS text) IS NULL OR destination = :destination)
    ORDER BY put_unix_ms DESC, id LIMIT :most
"""
COUNT = "SELECT destination, state, count(*) FROM tocsin_outbox GROUP BY destination, state ORDER BY destination, state"
# A bounded number at a time: a long DELETE would keep the application's own writers waiting.
PRUNE = """
    DELETE FROM tocsin_outbox WHERE id IN (
        SELECT id FROM tocsin_outbox WHERE state = 'delivered' AND ended_unix_ms <= :before LIMIT 500
    )
"""


def tables(database: str) -> tuple[str, ...]:
    """What creates the table and its indexes where they are missing, for "sqlite" or "postgres"."""
    kinds = _COLUMNS[database]
    return (
        f"""
CREATE TABLE IF NOT EXISTS tocsin_outbox (
    id {kinds["text"]} PRIMARY KEY,
    destination {kinds["text"]} NOT NULL,
    content_type {kinds["text"]} NOT NULL,
    body {kinds["bytes"]} NOT NULL,
    state {kinds["text"]} NOT NULL DEFAULT 'waiting',
    put_unix_ms {kinds["number"]} NOT NULL,
    due_unix_ms {kinds["number"]},
    ended_unix_ms {kinds["number"]},
    attempts {kinds["number"]} NOT NULL,
    failures {kinds["number"]} NOT NULL,
    error {kinds["text"]}
)
""",
        """
CREATE INDEX IF NOT EXISTS tocsin_outbox_due ON tocsin_outbox (destination, due_unix_ms) WHERE due_unix_ms IS NOT NULL
""",
        """
CREATE INDEX IF NOT EXISTS tocsin_outbox_ended ON tocsin_outbox (ended_unix_ms) WHERE ended_unix_ms IS NOT NULL
""",
    )


def take(*, locking: str) -> str:
    """Takes the message that has been due for longest. `locking`: what keeps others from waiting for its row."""
    return _TAKE.format(locking=locking)


def spelled(statement: str) -> str:
    """The statement with values as psycopg spells them: %(name)s for :name."""
    return _VALUE.sub(r"%(\1)s", statement)
