"""Takes a claim, and finds out what stands in its place.

Rule: until the claim is written nothing of the handler has run, so whatever goes wrong here is tried again while there
is time: a serialisation failure on the claim says that somebody else has just committed it, and leads to the answer
that is stored.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Literal

import psycopg

from tocsin.guard._errors import KeyInUse, StoreUnavailable
from tocsin.guard._retention import is_forgettable
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.postgres import _claims
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._session import Session, trouble_with
from tocsin.guard.stores.postgres._sqlstates import LOCK_TIMEOUT, UNDEFINED_TABLE, Trouble

# Also when the time is over: to find an old claim, to take the key after it was let go, and some bad luck.
_LEAST_ATTEMPTS = 4


def take(
    session: Session,
    claim: Claim,
    deadline: float,
    *,
    savepoint: str | None,
    aside: Callable[[], AbstractContextManager[Session]],
) -> Written | Record | Forgotten:
    """Write the claim, or say what stands in its place. Unless it is written, nothing is left open.

    Args:
        session: with nothing begun; or, with a savepoint, inside a transaction.
        claim: what to write.
        deadline: until when to wait, by the monotonic clock.
        savepoint: the name of a savepoint to take it in; None: in a new transaction.
        aside: lends a connection on which nothing has begun.

    Raises:
        KeyInUse: another process was applying the key until then.
        StoreUnavailable: locked, full or down.
    """
    attempts = 0
    while attempts < _LEAST_ATTEMPTS or monotonic() < deadline:
        attempts += 1
        wait_s = deadline - monotonic()
        try:
            taken = _attempt(session, claim, wait_s=wait_s, savepoint=savepoint)
            if isinstance(taken, Written):
                return taken
            found = _claims.undo_and_read(session, claim.key, savepoint)
        except psycopg.Error as error:
            raise _unavailable(session, error, savepoint) from error
        if isinstance(taken, Forgotten):
            return taken
        if found is None and savepoint is not None:
            # The transaction around it may see the database as it was before.
            with aside() as other:
                found = _claims.read(other, claim.key)
            if found is None and taken is Trouble.CONFLICT:
                # Nobody has committed the key: a deadlock, of which the transaction around it is a part.
                session.conflict = True
                raise StoreUnavailable("the transaction around it conflicts with another one")
        if found is not None:
            if not is_forgettable(found, claim.taken_unix_ms):
                return found
            with aside() as other:
                _claims.forget(other, claim, deadline - monotonic())
    raise StoreUnavailable("others took the key and gave it back until the time was over")


def _attempt(
    session: Session, claim: Claim, *, wait_s: float, savepoint: str | None
) -> Written | Forgotten | Literal[Trouble.CONFLICT] | None:
    try:
        return _claims.take(session, claim, wait_s=wait_s, savepoint=savepoint)
    except psycopg.Error as error:
        if trouble_with(error) is not Trouble.CONFLICT:
            raise
        return Trouble.CONFLICT


def _unavailable(session: Session, error: psycopg.Error, savepoint: str | None) -> StoreUnavailable:
    """What an error on the claim is to the request, once everything is undone."""
    session.undo(savepoint)
    # A lock on the table has no such context; a lock on the key is met while its index is written.
    if error.sqlstate == LOCK_TIMEOUT and error.diag.context is not None:
        return KeyInUse("another process was applying it until the time was over")
    if error.sqlstate == UNDEFINED_TABLE:
        return StoreUnavailable(f"{_text(error)}; wanted: run PostgresStore.migrate() once")
    return StoreUnavailable(f"the claim cannot be written: {_text(error)}")


def _text(error: psycopg.Error) -> str:
    """Without the statement and its values, which psycopg appends."""
    return error.diag.message_primary or str(error)
