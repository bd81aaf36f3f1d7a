"""Takes a claim, and finds out what stands in its place.

Rule: until the claim is written nothing of the handler has run, so whatever goes wrong here is tried again while there
is time: a serialisation failure on the claim says that somebody else has just committed it, and leads to the answer
that is stored.
"""

from time import monotonic
from typing import Literal

import psycopg

from tocsin.guard._errors import KeyInUse, StoreUnavailable
from tocsin.guard._retention import is_forgettable
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.postgres import _claims
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._session import Session, trouble_with
from tocsin.guard.stores.postgres._sqlstates import LOCK_TIMEOUT, NO_SUCH_STATEMENT, UNDEFINED_TABLE, Trouble
from tocsin.guard.stores.postgres._talk import Aside, Talk

# Also when the time is over: to find an old claim, to take the key after it was let go, and some bad luck.
_LEAST_ATTEMPTS = 4


def taking(
    session: Session, claim: Claim, deadline: float, *, savepoint: str | None
) -> Talk[Written | Record | Forgotten]:
    """Write the claim, or say what stands in its place. Unless it is written, nothing is left open.

    Args:
        session: with nothing begun; or, with a savepoint, inside a transaction.
        claim: what to write.
        deadline: until when to wait, by the monotonic clock.
        savepoint: the name of a savepoint to take it in; None: in a new transaction.

    Raises:
        KeyInUse: another process was applying the key until then.
        StoreUnavailable: locked, full or down.
    """
    try:
        if session.may_prepare and not session.is_prepared and savepoint is None:
            yield from _claims.preparing(session)
        return (yield from _taken(session, claim, deadline, savepoint))
    except psycopg.Error as error:
        yield from session.undone(savepoint)
        raise _unavailable(error) from error


def _taken(
    session: Session, claim: Claim, deadline: float, savepoint: str | None
) -> Talk[Written | Record | Forgotten]:
    attempts = 0
    while attempts < _LEAST_ATTEMPTS or monotonic() < deadline:
        attempts += 1
        taken: Written | Forgotten | Literal[Trouble.CONFLICT] | None
        try:
            taken = yield from _claims.taking(session, claim, wait_s=deadline - monotonic(), savepoint=savepoint)
        except psycopg.Error as error:
            taken = _not_taken(session, error)
        if isinstance(taken, Written):
            return taken
        found = yield from _claims.undoing_and_reading(session, claim.key, savepoint)
        if isinstance(taken, Forgotten):
            return taken
        if found is None and savepoint is not None:
            found = yield from _seen_from_outside(session, claim, deadline, taken)
        if found is None:
            continue
        if not is_forgettable(found, claim.taken_unix_ms):
            return found
        if savepoint is None:
            yield from _claims.forgetting(claim, deadline - monotonic())
        else:
            yield Aside(lambda _: _claims.forgetting(claim, deadline - monotonic()), deadline)
    raise StoreUnavailable("others took the key and gave it back until the time was over")


def _not_taken(session: Session, error: psycopg.Error) -> Literal[Trouble.CONFLICT] | None:
    """What an error says that may be tried again; raises it, if it may not."""
    if error.sqlstate == NO_SUCH_STATEMENT:
        # Somebody has let go of what was prepared, or it is another session, behind a pooler that did not show.
        session.is_prepared = session.may_prepare = False
        return None
    if trouble_with(error) is not Trouble.CONFLICT:
        raise error
    return Trouble.CONFLICT


def _seen_from_outside(
    session: Session, claim: Claim, deadline: float, taken: Literal[Trouble.CONFLICT] | None
) -> Talk[Record | None]:
    """What is committed under the key. The transaction around it may see the database as it was before."""
    found: Record | None = yield Aside(lambda other: _claims.reading(other, claim.key), deadline)
    if found is None and taken is Trouble.CONFLICT:
        # Nobody has committed the key: a deadlock, of which the transaction around it is a part.
        session.conflict = True
        raise StoreUnavailable("the transaction around it conflicts with another one")
    return found


def _unavailable(error: psycopg.Error) -> StoreUnavailable:
    """What an error on the claim is to the request, once everything is undone."""
    # A lock on the table has no such context; a lock on the key is met while its index is written.
    if error.sqlstate == LOCK_TIMEOUT and error.diag.context is not None:
        return KeyInUse("another process was applying it until the time was over")
    if error.sqlstate == UNDEFINED_TABLE:
        return StoreUnavailable(f"{_text(error)}; wanted: run PostgresStore.migrate() once")
    return StoreUnavailable(f"the claim cannot be written: {_text(error)}")


def _text(error: psycopg.Error) -> str:
    """Without the statement and its values, which psycopg appends."""
    return error.diag.message_primary or str(error)
