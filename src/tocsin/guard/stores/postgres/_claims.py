"""The table of claims, in SQL: the one place where a claim is unique.

Rule: beginning and claiming are one message, storing the answer and COMMIT are another. The wait for whoever holds the
key is bounded by lock_timeout, and the row that is granted puts the application's own value back before the handler
starts.
"""

from dataclasses import dataclass
from typing import Any

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._keys import KEY_VERSION
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.postgres._session import Session, undoing

# Nested, because a SELECT does not promise in which order it computes its columns. In a statement of its own, because
# the INSERT waits for the lock on its table before it computes anything.
_BOUND = """
    SELECT set_config('lock_timeout', %(wait)s,
                      set_config('tocsin.lock_timeout', current_setting('lock_timeout'), true) IS NOT NULL)
"""
_PUT_BACK = "set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)"
_INSERT = """
    INSERT INTO tocsin_claims
        (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms,
         due_unix_ms)
    VALUES (%(key)s, %(version)s, %(tenant)s, %(operation)s, %(fingerprint)s, %(taken)s, %(answer_until)s,
            %(claim_until)s, %(due)s)
    ON CONFLICT (key) DO NOTHING
"""
_RETURNING = "RETURNING pg_current_xact_id()::text, "
_REMEMBER = """
    INSERT INTO tocsin_forgotten AS f (tenant, operation, taken_unix_ms)
    SELECT tenant, operation, max(taken_unix_ms) FROM gone GROUP BY tenant, operation
    ON CONFLICT (tenant, operation) DO UPDATE SET taken_unix_ms = greatest(f.taken_unix_ms, excluded.taken_unix_ms)
"""
# In a transaction of its own: every claim of the operation that is let go writes to one row of tocsin_forgotten, and no
# handler may hold that. Claims first, as the sweep does: two that lock in one order do not deadlock.
_FORGET = f"""
    WITH gone AS (
        DELETE FROM tocsin_claims
        WHERE key = %(key)s AND status IS NOT NULL AND claim_until_unix_ms <= %(now)s
        RETURNING tenant, operation, taken_unix_ms
    ) {_REMEMBER}
"""  # noqa: S608  constants only
# How many rows of the key this transaction sees: two, if the old one was let go after its snapshot was taken.
_FORGOTTEN = """
    SELECT (SELECT taken_unix_ms FROM tocsin_forgotten WHERE tenant = %(tenant)s AND operation = %(operation)s),
           (SELECT count(*) FROM tocsin_claims WHERE key = %(key)s)
"""
_READ = """
    SELECT fingerprint, status, headers, body, answer_until_unix_ms, claim_until_unix_ms
    FROM tocsin_claims WHERE key = %(key)s
"""
# What is read and let go outside of handlers' transactions cannot conflict, whatever the application's default.
_BEGIN_APART = "BEGIN ISOLATION LEVEL READ COMMITTED"
_READ_APART = f"{_BEGIN_APART} READ ONLY; {_READ}; COMMIT"
# The transaction's id tells a handler that has committed and begun again. No row is an error, or COMMIT, which is in
# the same message, would follow.
_SETTLE = """
    WITH settled AS (
        UPDATE tocsin_claims SET status = %(status)s, headers = %(headers)s, body = %(body)s
        WHERE key = %(key)s AND status IS NULL AND pg_current_xact_id()::text = %(transaction)s
        RETURNING 1
    )
    SELECT 1 / count(*) FROM settled
"""
# A bounded number of rows at a time. What somebody else is letting go at this moment is left to him.
SWEPT_AT_ONCE = 500
_SWEEP = f"""
    WITH due AS (
        SELECT key, coalesce(claim_until_unix_ms <= %(now)s, false) AS is_over FROM tocsin_claims
        WHERE due_unix_ms <= %(now)s AND status IS NOT NULL
        ORDER BY due_unix_ms LIMIT %(most)s FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM tocsin_claims AS c USING due WHERE c.key = due.key AND due.is_over
        RETURNING c.tenant, c.operation, c.taken_unix_ms
    ), stripped AS (
        UPDATE tocsin_claims AS c SET headers = NULL, body = NULL, due_unix_ms = c.claim_until_unix_ms
        FROM due WHERE c.key = due.key AND NOT due.is_over
        RETURNING 1
    ), remembered AS ({_REMEMBER})
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM stripped)
"""  # noqa: S608  constants only


@dataclass(frozen=True, slots=True)
class Written:
    """The claim is written, in the transaction with this id."""

    transaction_id: str


def take(session: Session, claim: Claim, *, wait_s: float, savepoint: str | None) -> Written | Forgotten | None:
    """Begin and write the claim, in one message; None: another one is there, or was there a moment ago.

    Args:
        session: with nothing begun; or, with a savepoint, inside a transaction.
        claim: what to write.
        wait_s: how long to wait for a lock.
        savepoint: the name of the savepoint to open; None: begin a transaction.

    Raises:
        psycopg.Error: nothing is written; the transaction or the savepoint may be open.
    """
    bound = _BOUND + session.settings.local if savepoint is None else _BOUND
    statements = [session.settings.begin if savepoint is None else f"SAVEPOINT {savepoint}", bound]
    statements.append(f"{_INSERT} {_RETURNING} {_PUT_BACK}")
    if claim.earliest_unix_ms is not None:
        statements.append(_FORGOTTEN)
    results = session.send(";".join(statements), _values(claim, wait_s))
    inserted = results[2].rows
    if not inserted:
        return None
    if claim.earliest_unix_ms is not None:
        forgotten_unix_ms, rows = results[-1].rows[0]
        if rows > 1:
            return None
        # Only when a clock has gone back is a message within its tolerance, and as old as a claim that was let go.
        if forgotten_unix_ms is not None and forgotten_unix_ms >= claim.earliest_unix_ms:
            return Forgotten()
    return Written(inserted[0][0])


def undo_and_read(session: Session, key: bytes, savepoint: str | None) -> Record | None:
    """Roll back, and read what is stored under the key, in one message. Raises psycopg.Error."""
    reading = _READ_APART if savepoint is None else _READ
    results = session.send(f"{undoing(savepoint)}; {reading}", {"key": key})
    return _record(results[2].rows)


def read(session: Session, key: bytes) -> Record | None:
    """What is stored under a key. Raises psycopg.Error."""
    return _record(session.send(_READ_APART, {"key": key})[1].rows)


def settle(session: Session, claim: Claim, answer: StoredAnswer, *, transaction_id: str, ending: str) -> str:
    """Write the answer beside the claim and end the transaction or the savepoint, in one message.

    Returns:
        What the server says that it did last.

    Raises:
        psycopg.Error: DivisionByZero where the claim is not there any more, or not in this transaction.
    """
    values = {
        "status": answer.status,
        "headers": answer.headers,
        "body": answer.body,
        "key": claim.key,
        "transaction": transaction_id,
    }
    return session.send(f"{_SETTLE}; {ending}", values)[-1].tag


def forget(session: Session, claim: Claim, wait_s: float) -> None:
    """Let go of an old claim under this one's key, if it has had its time. Raises psycopg.Error."""
    values = {"key": claim.key, "now": claim.taken_unix_ms, "wait": _milliseconds(wait_s)}
    session.send(f"{_BEGIN_APART}; {_BOUND}; {_FORGET}; COMMIT", values)


def sweep(session: Session, now_unix_ms: int, wait_s: float) -> int:
    """Let go of what is due, SWEPT_AT_ONCE rows at most; returns how many. Raises psycopg.Error."""
    values = {"now": now_unix_ms, "most": SWEPT_AT_ONCE, "wait": _milliseconds(wait_s)}
    results = session.send(f"{_BEGIN_APART}; {_BOUND}; {_SWEEP}; COMMIT", values)
    return int(results[2].rows[0][0])


def _record(rows: list[tuple[Any, ...]]) -> Record | None:
    return Record(*rows[0]) if rows else None


def _milliseconds(wait_s: float) -> str:
    """For lock_timeout, to which 0 means for ever."""
    return str(max(1, round(wait_s * 1000)))


def _values(claim: Claim, wait_s: float) -> dict[str, object]:
    until = (claim.answer_until_unix_ms, claim.claim_until_unix_ms)
    return {
        "wait": _milliseconds(wait_s),
        "key": claim.key,
        "version": KEY_VERSION,
        "tenant": claim.tenant,
        "operation": claim.operation,
        "fingerprint": claim.fingerprint,
        "taken": claim.taken_unix_ms,
        "answer_until": until[0],
        "claim_until": until[1],
        "due": until[1] if until[0] is None else until[0],
    }
