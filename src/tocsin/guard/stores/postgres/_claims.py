"""The table of claims, in SQL: the one place where a claim is unique.

Rule: beginning and claiming are one message, storing the answer and COMMIT are another. The wait for whoever holds the
key is bounded by lock_timeout, and the row that is granted puts the application's own value back before the handler
starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg.pq.abc import PGresult

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._keys import KEY_VERSION
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.postgres._phrases import Phrase, plain
from tocsin.guard.stores.postgres._session import Session, undoing
from tocsin.guard.stores.postgres._sqlstates import UNDEFINED_TABLE
from tocsin.guard.stores.postgres._talk import (
    NOTHING,
    Call,
    Lesson,
    Results,
    Talk,
    asked,
    calling,
    rows_of,
    said,
    saying,
)
from tocsin.guard.stores.postgres._values import BIGINT, DIGITS, INTEGER, OCTETS, TEXT, TRANSACTION

# set_config() in set_config(), because nothing else promises an order: first the application's own value is kept.
BOUND = """
    set_config('lock_timeout', %(wait)s,
               set_config('tocsin.lock_timeout', current_setting('lock_timeout'), true) IS NOT NULL)
"""
# The bound stands in the WHERE, so it holds before the row is written, which is where a key is waited for.
CLAIM = Phrase(
    "claim",
    f"""
    INSERT INTO tocsin_claims
        (key, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms,
         due_unix_ms)
    SELECT %(key)s, {KEY_VERSION}, %(tenant)s, %(operation)s, %(fingerprint)s, %(taken)s, %(answer_until)s,
           %(claim_until)s, coalesce(%(answer_until)s, %(claim_until)s)::bigint
    WHERE {BOUND} IS NOT NULL
    ON CONFLICT (key) DO NOTHING
    RETURNING pg_current_xact_id(), set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)
    """,
    {
        "key": OCTETS,
        "tenant": TEXT,
        "operation": TEXT,
        "fingerprint": OCTETS,
        "taken": BIGINT,
        "answer_until": BIGINT,
        "claim_until": BIGINT,
        "wait": DIGITS,
    },
)
# How many rows of the key this transaction sees: two, if the old one was let go after its snapshot was taken.
FORGOTTEN = Phrase(
    "forgotten",
    """
    SELECT (SELECT taken_unix_ms FROM tocsin_forgotten WHERE tenant = %(tenant)s AND operation = %(operation)s),
           (SELECT count(*) FROM tocsin_claims WHERE key = %(key)s)
    """,
    {"tenant": TEXT, "operation": TEXT, "key": OCTETS},
)
READ = Phrase(
    "read",
    """
    SELECT encode(fingerprint, 'hex'), status, encode(headers, 'hex'), encode(body, 'hex'), answer_until_unix_ms,
           claim_until_unix_ms
    FROM tocsin_claims WHERE key = %(key)s
    """,
    {"key": OCTETS},
)
# The transaction's id tells a handler that has committed and begun again. No row is an error, or COMMIT, which is in
# the same message, would follow.
SETTLE = Phrase(
    "settle",
    """
    WITH settled AS (
        UPDATE tocsin_claims SET status = %(status)s, headers = %(headers)s, body = %(body)s
        WHERE key = %(key)s AND status IS NULL AND pg_current_xact_id() = %(transaction)s
        RETURNING 1
    )
    SELECT 1 / (EXISTS (SELECT FROM settled))::integer
    """,
    {"status": INTEGER, "headers": OCTETS, "body": OCTETS, "key": OCTETS, "transaction": TRANSACTION},
)
_REMEMBER = """
    INSERT INTO tocsin_forgotten AS f (tenant, operation, taken_unix_ms)
    SELECT tenant, operation, max(taken_unix_ms) FROM gone GROUP BY tenant, operation
    ON CONFLICT (tenant, operation) DO UPDATE SET taken_unix_ms = greatest(f.taken_unix_ms, excluded.taken_unix_ms)
"""
# In a transaction of its own: every claim of the operation that is let go writes to one row of tocsin_forgotten, and no
# handler may hold that. Claims first, as the sweep does: two that lock in one order do not deadlock.
_FORGET = Phrase(
    "",
    f"""
    WITH gone AS (
        DELETE FROM tocsin_claims
        WHERE key = %(key)s AND status IS NOT NULL AND claim_until_unix_ms <= %(now)s
        RETURNING tenant, operation, taken_unix_ms
    ) {_REMEMBER}
    """,  # noqa: S608  constants only
    {"key": OCTETS, "now": BIGINT},
)
# A bounded number of rows at a time. What somebody else is letting go at this moment is left to him.
SWEPT_AT_ONCE = 500
_SWEEP = Phrase(
    "",
    f"""
    WITH due AS (
        SELECT key, coalesce(claim_until_unix_ms <= %(now)s, false) AS is_over FROM tocsin_claims
        WHERE due_unix_ms <= %(now)s AND status IS NOT NULL
        ORDER BY due_unix_ms LIMIT {SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM tocsin_claims AS c USING due WHERE c.key = due.key AND due.is_over
        RETURNING c.tenant, c.operation, c.taken_unix_ms
    ), stripped AS (
        UPDATE tocsin_claims AS c SET headers = NULL, body = NULL, due_unix_ms = c.claim_until_unix_ms
        FROM due WHERE c.key = due.key AND NOT due.is_over
        RETURNING 1
    ), remembered AS ({_REMEMBER})
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM stripped)
    """,  # noqa: S608  constants only
    {"now": BIGINT},
)
# What is read and let go outside of handlers' transactions cannot conflict, whatever the application's default.
_BEGIN_APART = plain("BEGIN ISOLATION LEVEL READ COMMITTED")
_BEGIN_READING = plain("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
_COMMIT = Phrase("commit", "COMMIT")
_BOUND_ALONE = Phrase("", f"SELECT {BOUND}", {"wait": DIGITS})


@dataclass(slots=True)
class Written:
    """The claim is written, in the transaction with this id."""

    transaction_id: int


def preparing(session: Session) -> Talk[None]:
    """Make the server know the phrases of a claim by their names, if that can be. Raises psycopg.Error: it is lost."""
    # What it knows it keeps, also when the next one fails. So first comes the one that needs both tables.
    lesson = Lesson((FORGOTTEN, CLAIM, READ, SETTLE, session.settings.begin, _COMMIT))
    try:
        yield from asked(lesson)
    except psycopg.Error as error:
        if session.connection.closed:
            raise
        # Tables may still be made. Whatever else it is, the same statements do without.
        session.may_prepare = error.sqlstate == UNDEFINED_TABLE
    else:
        session.is_prepared = True
        # As after Session.know: nothing that counts has been said yet.
        session.has_answered = False


def taking(session: Session, claim: Claim, *, wait_s: float, savepoint: str | None) -> Talk[Written | Forgotten | None]:
    """Begin and write the claim, in one message; None: another one is there, or was there a moment ago.

    Args:
        session: with nothing begun; or, with a savepoint, inside a transaction.
        claim: what to write.
        wait_s: how long to wait for a lock.
        savepoint: the name of the savepoint to open; None: begin a transaction.

    Raises:
        psycopg.Error: nothing is written; the transaction or the savepoint may be open.
    """
    values = _values(claim, wait_s)
    begin = session.settings.begin if savepoint is None else plain(f"SAVEPOINT {savepoint}")
    calls: list[Call] = [(begin, NOTHING), (CLAIM, values)]
    if claim.earliest_unix_ms is not None:
        calls.append((FORGOTTEN, values))
    results: Results = yield (calling if session.is_alone else saying)(session, *calls)
    inserted = results[-1 if claim.earliest_unix_ms is None else -2]
    if not inserted.ntuples:
        return None
    if claim.earliest_unix_ms is not None:
        [[forgotten_unix_ms, rows]] = rows_of(results[-1])
        if int(rows) > 1:
            return None
        # Only when a clock has gone back is a message within its tolerance, and as old as a claim that was let go.
        if forgotten_unix_ms and int(forgotten_unix_ms) >= claim.earliest_unix_ms:
            return Forgotten()
    return Written(int(inserted.get_value(0, 0) or b""))


def undoing_and_reading(session: Session, key: bytes, savepoint: str | None) -> Talk[Record | None]:
    """Roll back, and read what is stored under the key, in one message. Raises psycopg.Error."""
    undone: list[Call] = [(plain(statement), NOTHING) for statement in undoing(savepoint).split(";")]
    if savepoint is None:
        return _record((yield saying(session, *undone, *_reading(key)))[-2])
    return _record((yield saying(session, *undone, (READ, {"key": key})))[-1])


def reading(session: Session, key: bytes) -> Talk[Record | None]:
    """What is stored under a key. Raises psycopg.Error."""
    return _record((yield saying(session, *_reading(key)))[-2])


def reading_inside(session: Session, key: bytes) -> Talk[Record | None]:
    """Likewise, as the open transaction sees it. Raises psycopg.Error."""
    return _record((yield saying(session, (READ, {"key": key})))[-1])


def settling(
    session: Session, claim: Claim, answer: StoredAnswer, *, transaction_id: int, savepoint: str | None
) -> Talk[bytes | None]:
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
    ending = _COMMIT if savepoint is None else plain(f"RELEASE {savepoint}")
    results: Results = yield calling(session, (SETTLE, values), (ending, NOTHING))
    return results[-1].command_status


def forgetting(claim: Claim, wait_s: float) -> Talk[None]:
    """Let go of an old claim under this one's key, if it has had its time. Raises psycopg.Error."""
    values = {"key": claim.key, "now": claim.taken_unix_ms, "wait": milliseconds(wait_s)}
    yield from said(_bounded(_FORGET, values))


def sweeping(now_unix_ms: int, wait_s: float) -> Talk[int]:
    """Let go of what is due, SWEPT_AT_ONCE rows at most; how many those were. Raises psycopg.Error."""
    results = yield from said(_bounded(_SWEEP, {"now": now_unix_ms, "wait": milliseconds(wait_s)}))
    return int(results[-2].get_value(0, 0) or b"")


def _bounded(phrase: Phrase, values: Mapping[str, object]) -> str:
    """A statement in a transaction of its own, which does not wait for long."""
    statements = [(_BEGIN_APART, values), (_BOUND_ALONE, values), (phrase, values), (_COMMIT, values)]
    return ";".join([each.said(given) for each, given in statements])


def _reading(key: bytes) -> tuple[Call, ...]:
    return (_BEGIN_READING, NOTHING), (READ, {"key": key}), (_COMMIT, NOTHING)


def _record(result: PGresult) -> Record | None:
    if not result.ntuples:
        return None
    fingerprint, status, headers, body, answer_until, claim_until = [result.get_value(0, column) for column in range(6)]
    return Record(
        _octets_of(fingerprint),
        _number_of(status),
        _octets_of(headers),
        _octets_of(body),
        _number_of(answer_until),
        _number_of(claim_until),
    )


def _octets_of(hexadecimal: bytes | None) -> bytes | None:
    return None if hexadecimal is None else bytes.fromhex(hexadecimal.decode("ascii"))


def _number_of(decimal: bytes | None) -> int | None:
    return None if decimal is None else int(decimal)


def milliseconds(wait_s: float) -> int:
    """For lock_timeout, to which 0 means for ever."""
    return max(1, round(wait_s * 1000))


def _values(claim: Claim, wait_s: float) -> dict[str, object]:
    return {
        "wait": milliseconds(wait_s),
        "key": claim.key,
        "tenant": claim.tenant,
        "operation": claim.operation,
        "fingerprint": claim.fingerprint,
        "taken": claim.taken_unix_ms,
        "answer_until": claim.answer_until_unix_ms,
        "claim_until": claim.claim_until_unix_ms,
    }
