"""The table of streams, in SQL: the highest number that each has applied.

Rule: a number is written in the transaction of the message that has it, so it is there where the message's effect is
and nowhere else. Streams are state and no claims: nothing here is ever let go, because an old message may come at any
time that its signature allows, and under a scheme without a signed timestamp that is for ever.
"""

from tocsin.guard._store import Claim
from tocsin.guard.stores.sqlite._claims import Executes

TABLES = {
    "tocsin_sequences": """
    CREATE TABLE IF NOT EXISTS tocsin_sequences (
        stream BLOB PRIMARY KEY,
        number INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        operation TEXT NOT NULL,
        moved_unix_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """
}
ADVANCE = """
    INSERT INTO tocsin_sequences (stream, number, tenant, operation, moved_unix_ms)
    VALUES (:stream, :number, :tenant, :operation, :moved)
    ON CONFLICT (stream) DO UPDATE SET number = excluded.number, moved_unix_ms = excluded.moved_unix_ms
    WHERE number < excluded.number
"""


def advance(connection: Executes, claim: Claim) -> bool:
    """Move the claim's stream on to its number; False: it is there or beyond.

    Inside a transaction that holds SQLite's write lock. Raises sqlite3.Error.
    """
    return connection.execute(ADVANCE, values(claim)).rowcount == 1


def values(claim: Claim) -> dict[str, object]:
    """The columns of a stream that a claim moves on."""
    assert claim.position is not None, "only what has a position is ordered"
    return {
        "stream": claim.position.stream,
        "number": claim.position.number,
        "tenant": claim.tenant,
        "operation": claim.operation,
        "moved": claim.taken_unix_ms,
    }
