"""Takes a claim, and finds out what stands in its place.

Rule: until the claim is written nothing of the handler has run, so whatever goes wrong here is tried again while there
is time. A deadlock on the claim is InnoDB's usual answer when the holder of a key rolls back: all who waited get a
shared lock on what is left of it, and all but one of them have to give way.
"""

from collections.abc import Callable
from time import monotonic
from typing import TypeAlias, TypeVar

import pymysql

from tocsin.guard._errors import GuardError, KeyInUse, StoreUnavailable
from tocsin.guard._retention import is_forgettable
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.mariadb import _claims
from tocsin.guard.stores.mariadb._claims import Written
from tocsin.guard.stores.mariadb._errnos import (
    DUPLICATE,
    LOCK_WAIT_TIMEOUT,
    NO_SUCH_TABLE,
    STATEMENT_TIMEOUT,
    Trouble,
)
from tocsin.guard.stores.mariadb._schema import MOST_OPERATION, MOST_TENANT
from tocsin.guard.stores.mariadb._session import Session, errno_of, text_of, trouble_with
from tocsin.guard.stores.mariadb._talk import Say, Talk, said

T = TypeVar("T")
Apart: TypeAlias = "Callable[[Callable[[Session], Talk[T]]], Talk[T]]"
"""Holds a talk on another connection, on which nothing has begun."""
# Also when the time is over: to find an old claim, to take the key after it was let go, and some bad luck.
_LEAST_ATTEMPTS = 4
# How much longer than the deadline that it was told itself a server may take to answer, before it is given up.
LATE_S = 1.0


class Taking:
    """One wish for a claim.

    Args:
        session: with nothing begun; or, with a savepoint, inside a transaction.
        claim: what to write.
        deadline: until when to wait, by the monotonic clock.
        apart: for what cannot be seen or done inside a transaction.
        savepoint: the name of a savepoint to take it in; None: in a new transaction.
    """

    def __init__(
        self, session: Session, claim: Claim, deadline: float, apart: "Apart[object]", *, savepoint: str | None = None
    ) -> None:
        self._session = session
        self._claim = claim
        self._deadline = deadline
        self._until = deadline + LATE_S
        self._apart = apart
        self._savepoint = savepoint

    def talk(self) -> Talk[Written | Record | Forgotten]:
        """Write the claim, or say what stands in its place. Unless it is written, nothing is left open.

        Raises:
            KeyInUse: another process was applying the key until then.
            StoreUnavailable: locked, full or down.
            GuardError: a name does not fit into the table.
        """
        _check(self._claim)
        try:
            attempts = 0
            while attempts < _LEAST_ATTEMPTS or monotonic() < self._deadline:
                attempts += 1
                taken = yield from self._attempt()
                if taken is not None:
                    return taken
        except pymysql.Error as error:
            raise (yield from self._unavailable(error)) from error
        raise StoreUnavailable("others took the key and gave it back until the time was over")

    def _attempt(self) -> Talk[Written | Record | Forgotten | None]:
        wait_s = self._deadline - monotonic()
        try:
            taken = yield from _claims.taking(
                self._session, self._claim, wait_s=wait_s, savepoint=self._savepoint, until=self._until
            )
        except pymysql.Error as error:
            if errno_of(error) == DUPLICATE:
                return (yield from self._found())
            if trouble_with(error) is not Trouble.CONFLICT:
                raise
            # All of the transaction is undone; what is left of it is nothing.
            yield from undone(self._session, None)
            if self._savepoint is not None:
                self._session.undone = Trouble.CONFLICT
                raise StoreUnavailable("the transaction around it conflicts with another one") from error
            return None
        return (yield from self._unless_forgotten(taken))

    def _unless_forgotten(self, taken: Written | Forgotten) -> Talk[Written | Forgotten]:
        claim = self._claim
        is_asked = self._savepoint is not None and claim.earliest_unix_ms is not None
        if is_asked and (
            yield from self._apart(lambda other: _claims.asking_whether_forgotten(other, claim, self._until))
        ):
            taken = Forgotten()
        if isinstance(taken, Forgotten):
            yield from undone(self._session, self._savepoint)
        return taken

    def _found(self) -> Talk[Record | None]:
        """What is stored in the claim's place. An old claim that has had its time is let go."""
        found = yield from self._read()
        if found is None:
            return None
        assert isinstance(found, Record)
        if not is_forgettable(found, self._claim.taken_unix_ms):
            return found
        if self._savepoint is None:
            yield from _claims.forgetting(self._session, self._claim, self._until)
        else:
            yield from self._apart(lambda other: _claims.forgetting(other, self._claim, self._until))
        return None

    def _read(self) -> Talk[object]:
        key = self._claim.key
        if self._savepoint is None:
            # One message; and a transaction of its own, because this one's snapshot may be older than the claim.
            first = _claims.undoing(None)
            return (yield from _claims.reading(self._session, key, self._until, first=first))
        mine = yield from _claims.reading_inside(
            self._session, key, self._until, first=_claims.undoing(self._savepoint)
        )
        if mine is not None:
            # Of an operation that was nested in this transaction before.
            return mine
        return (yield from self._apart(lambda other: _claims.reading(other, key, self._until)))

    def _unavailable(self, error: pymysql.Error) -> Talk[StoreUnavailable]:
        """What an error on the claim is to the request, once everything is undone."""
        is_undone = yield from undone(self._session, self._savepoint)
        number = errno_of(error)
        if is_undone and number in (STATEMENT_TIMEOUT, LOCK_WAIT_TIMEOUT) and (yield from self._is_held()):
            return KeyInUse("another process was applying it until the time was over")
        if number == NO_SUCH_TABLE:
            return StoreUnavailable(f"{text_of(error)}; wanted: run migrate() once")
        return StoreUnavailable(f"the claim cannot be written: {text_of(error)}")

    def _is_held(self) -> Talk[object]:
        """Whether it was the key that was waited for: a claim that is not committed shows in a dirty read."""
        key, until = self._claim.key, self._until
        try:
            if self._savepoint is None:
                return (yield from _claims.seeing_uncommitted(self._session, key, until))
            return (yield from self._apart(lambda other: _claims.seeing_uncommitted(other, key, until)))
        except (pymysql.Error, StoreUnavailable):
            yield from undone(self._session, self._savepoint)
            return False


def undone(session: Session, savepoint: str | None) -> Talk[bool]:
    """Roll back to the savepoint and release it, or all of the transaction; whether that worked. Never raises."""
    if session.is_inherited or session.is_lost:
        return False
    try:
        yield from said(Say(session, _claims.undoing(savepoint)))
    except pymysql.Error:
        return False
    return True


def _check(claim: Claim) -> None:
    # Where sql_mode is not strict, the server would cut it off in silence.
    for name, most in ((claim.tenant, MOST_TENANT), (claim.operation, MOST_OPERATION)):
        if len(name.encode()) > most:
            raise GuardError(f"{name[:40]!r}... is {len(name.encode())} bytes long; wanted at most {most} on MariaDB")
