"""Moves streams on: the highest number that each has applied.

Rule: the row of a stream is locked from here to the end of the transaction that writes it. So two messages of a stream
never run at once, and whoever comes second decides by what the first one has committed: at READ COMMITTED the server
looks again once it has the lock, and at the other levels it says that they conflict.
"""

import psycopg

from tocsin.guard._errors import StoreError, StoreUnavailable, TransactionConflict
from tocsin.guard._store import Claim
from tocsin.guard.stores.postgres._claims import BOUND, milliseconds
from tocsin.guard.stores.postgres._phrases import Phrase, plain
from tocsin.guard.stores.postgres._session import Session, trouble_with
from tocsin.guard.stores.postgres._sqlstates import LOCK_TIMEOUT, UNDEFINED_TABLE, Trouble
from tocsin.guard.stores.postgres._talk import NOTHING, Results, Talk, saying
from tocsin.guard.stores.postgres._values import BIGINT, DIGITS, OCTETS, TEXT

# Without a name: databases without this table know it no better, and services without an order need none.
_ADVANCE = Phrase(
    "",
    f"""
    INSERT INTO tocsin_sequences AS s (stream, number, tenant, operation, moved_unix_ms)
    SELECT %(stream)s, %(number)s, %(tenant)s, %(operation)s, %(moved)s WHERE {BOUND} IS NOT NULL
    ON CONFLICT (stream) DO UPDATE SET number = excluded.number, moved_unix_ms = excluded.moved_unix_ms
    WHERE s.number < excluded.number
    RETURNING s.number
    """,
    {"stream": OCTETS, "number": BIGINT, "tenant": TEXT, "operation": TEXT, "moved": BIGINT, "wait": DIGITS},
)
# The handler, or the one around a superseded claim, finds the application's own bound.
_UNBOUND = plain("SELECT set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)")


def advancing(session: Session, claim: Claim, *, wait_s: float, is_nested: bool) -> Talk[bool]:
    """See Granted.advance.

    Args:
        session: with the claim written on it.
        claim: what was written.
        wait_s: how long to wait for the stream.
        is_nested: whether only the transaction around it can run again.
    """
    try:
        return (yield from moving(session, claim, wait_s))
    except psycopg.Error as error:
        raise _not_moved(session, error, is_nested=is_nested) from error


def moving(session: Session, claim: Claim, wait_s: float) -> Talk[bool]:
    """Move the claim's stream on to its number; False: it is there or beyond. Raises psycopg.Error."""
    assert claim.position is not None, "only what has a position is ordered"
    values = {
        "stream": claim.position.stream,
        "number": claim.position.number,
        "tenant": claim.tenant,
        "operation": claim.operation,
        "moved": claim.taken_unix_ms,
        "wait": milliseconds(wait_s),
    }
    results: Results = yield saying(session, (_ADVANCE, values), (_UNBOUND, NOTHING))
    return bool(results[0].ntuples)


def _not_moved(session: Session, error: psycopg.Error, *, is_nested: bool) -> StoreError:
    text = error.diag.message_primary or str(error)
    if trouble_with(error) is Trouble.CONFLICT:
        if not is_nested:
            return TransactionConflict(text)
        session.conflict = True
        return StoreUnavailable(f"the transaction around it conflicts with another one: {text}")
    if error.sqlstate == LOCK_TIMEOUT:
        return StoreUnavailable("another message of its stream was being applied until the time was over")
    if error.sqlstate == UNDEFINED_TABLE:
        return StoreUnavailable(f"{text}; wanted: run PostgresStore.migrate() once")
    return StoreUnavailable(f"the sequence number cannot be stored: {text}")
