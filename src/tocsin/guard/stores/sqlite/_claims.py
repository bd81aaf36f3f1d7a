"""The table of claims, in SQL: the one place where a claim is unique.

Rule: every function here runs inside a transaction that holds SQLite's write lock, except `read`. The layout is shared
with services in other languages, so columns are only ever added.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Protocol

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._keys import KEY_VERSION
from tocsin.guard._retention import is_forgettable
from tocsin.guard._store import Claim, Forgotten, Record

TABLES = {
    # Rows keep the order of arrival, so that a commit appends the answer instead of splitting a page of a tree that is
    # ordered by random keys: 18 us against 22 us a request in batches of 64, with 200,000 claims kept.
    "tocsin_claims": """
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
    # When something of the row may go next. Nearly every row's is later than the one before it, so this appends too.
    "tocsin_claims_due": """
    CREATE INDEX IF NOT EXISTS tocsin_claims_due ON tocsin_claims (due_unix_ms) WHERE due_unix_ms IS NOT NULL
    """,
    # The newest claim that was forgotten, for each operation: see _INSERT.
    "tocsin_forgotten": """
    CREATE TABLE IF NOT EXISTS tocsin_forgotten (
        tenant TEXT NOT NULL,
        operation TEXT NOT NULL,
        taken_unix_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, operation)
    )
    """,
}

_COLUMNS = """
    tocsin_claims
        (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms)
"""
_INSERT = f"INSERT INTO {_COLUMNS} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (key) DO NOTHING"  # noqa: S608  constants only
# A claim whose message may be as old as one that was forgotten is not taken: only when a clock has gone back can a
# message be within its tolerance and that old. Asked here: a statement of its own costs as much as the INSERT.
_INSERT_UNLESS_FORGOTTEN = f"""
    INSERT INTO {_COLUMNS}
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (
        SELECT 1 FROM tocsin_forgotten WHERE tenant = ?3 AND operation = ?4 AND taken_unix_ms >= ?9
    )
    ON CONFLICT (key) DO NOTHING
"""  # noqa: S608  likewise
_READ = """
    SELECT fingerprint, status, headers, body, answer_until_unix_ms, claim_until_unix_ms
    FROM tocsin_claims WHERE key = ?
"""
_SETTLE = """
    UPDATE tocsin_claims
    SET status = ?, headers = ?, body = ?, due_unix_ms = coalesce(answer_until_unix_ms, claim_until_unix_ms)
    WHERE key = ? AND status IS NULL
"""
_REMEMBER_FORGOTTEN = """
    INSERT INTO tocsin_forgotten (tenant, operation, taken_unix_ms)
    SELECT tenant, operation, max(taken_unix_ms) FROM tocsin_claims WHERE {rows} GROUP BY tenant, operation
    ON CONFLICT (tenant, operation) DO UPDATE SET taken_unix_ms = max(taken_unix_ms, excluded.taken_unix_ms)
"""
# A bounded number of rows at a time: whoever sweeps holds the write lock.
SWEPT_AT_ONCE = 500
_DUE = "id IN (SELECT id FROM tocsin_claims WHERE due_unix_ms <= :now ORDER BY due_unix_ms, id LIMIT :most)"
_OVER = f"{_DUE} AND claim_until_unix_ms <= :now"
_STRIP = f"UPDATE tocsin_claims SET headers = NULL, body = NULL, due_unix_ms = claim_until_unix_ms WHERE {_DUE}"  # noqa: S608  constants only


# The sqlite3 module asks bytes whether they want to be adapted, and does not ask a bytearray: a statement with eight of
# them takes 1.0 us instead of 3.0.
_blob = bytearray


class Executes(Protocol):
    """What runs a statement and gives its cursor: a cursor, a connection, or what stands for one."""

    def execute(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = (), /) -> sqlite3.Cursor:
        """Run it."""
        ...


def read(connection: Executes, key: bytes) -> Record | None:
    """What is stored under a key."""
    row = connection.execute(_READ, (_blob(key),)).fetchone()
    return None if row is None else Record(*row)


def take(connection: Executes, claim: Claim) -> Record | Forgotten | None:
    """Write the claim; None: it is written. An old one that has had its time is replaced."""
    if _is_written(connection, claim):
        return None
    found = read(connection, claim.key)
    if found is None:
        return Forgotten()
    if not is_forgettable(found, claim.taken_unix_ms):
        return found
    connection.execute(_REMEMBER_FORGOTTEN.format(rows="key = ?"), (claim.key,))
    connection.execute("DELETE FROM tocsin_claims WHERE key = ?", (claim.key,))
    return None if _is_written(connection, claim) else Forgotten()


def settle(connection: Executes, claim: Claim, answer: StoredAnswer) -> bool:
    """Write the answer beside the claim; False: the claim is not there any more, or has an answer."""
    values = (answer.status, _blob(answer.headers), _blob(answer.body), _blob(claim.key))
    return connection.execute(_SETTLE, values).rowcount == 1


def sweep(connection: Executes, now_unix_ms: int) -> int:
    """Let go of what is due, SWEPT_AT_ONCE rows at most; returns how many."""
    due = {"now": now_unix_ms, "most": SWEPT_AT_ONCE}
    connection.execute(_REMEMBER_FORGOTTEN.format(rows=_OVER), due)
    gone = connection.execute(f"DELETE FROM tocsin_claims WHERE {_OVER}", due).rowcount  # noqa: S608  constants only
    # What is left of the same rows: those behind them may be over too, and are not to be stripped before they go.
    return gone + connection.execute(_STRIP, due | {"most": SWEPT_AT_ONCE - gone}).rowcount


def _is_written(connection: Executes, claim: Claim) -> bool:
    """Write the claim, unless there is one with its key, or its message may be older than what was forgotten."""
    fingerprint, earliest_unix_ms = claim.fingerprint, claim.earliest_unix_ms
    values = (
        _blob(claim.key),
        KEY_VERSION,
        claim.tenant,
        claim.operation,
        None if fingerprint is None else _blob(fingerprint),
        claim.taken_unix_ms,
        claim.answer_until_unix_ms,
        claim.claim_until_unix_ms,
    )
    if earliest_unix_ms is None:
        return connection.execute(_INSERT, values).rowcount == 1
    return connection.execute(_INSERT_UNLESS_FORGOTTEN, (*values, earliest_unix_ms)).rowcount == 1
