"""One granted claim: an open transaction, or a savepoint in one, until it is settled or abandoned."""

import logging
from typing import Protocol

import psycopg
from psycopg.pq import TransactionStatus

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown, StoreError, StoreUnavailable, TransactionBroken, TransactionConflict
from tocsin.guard._store import Claim, Granted
from tocsin.guard.stores.postgres import _claims
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._session import Session, trouble_with
from tocsin.guard.stores.postgres._sqlstates import DIVISION_BY_ZERO, IDLE_TIMEOUT, Trouble
from tocsin.guard.stores.postgres._transaction import Transaction

_LOG = logging.getLogger("tocsin.guard")


class Desk(Protocol):
    """What a unit needs of its store."""

    def finish(self, unit: "Unit", *, is_usable: bool) -> None:
        """The unit has ended: its connection may be used again, or not."""
        ...


class Unit(Granted[Transaction]):
    """BEGIN to COMMIT; or, inside another unit of the same thread, SAVEPOINT to RELEASE.

    A nested unit has a claim and an answer of its own, and is committed when the outer one is, or undone with it.

    Args:
        desk: the store.
        session: the connection, the claim written on it.
        claim: what was written.
        written: in which transaction.
        savepoint: the savepoint that is open; None: the whole transaction is this unit's.
        outer: the unit that this one is nested in, or None.
    """

    __slots__ = ("_desk", "_savepoint", "_tx", "_written", "claim", "outer", "session")

    def __init__(
        self,
        desk: Desk,
        session: Session,
        claim: Claim,
        written: Written,
        *,
        savepoint: str | None = None,
        outer: "Unit | None" = None,
    ) -> None:
        self.session = session
        self.claim = claim
        self.outer = outer
        self._desk = desk
        self._written = written
        self._savepoint = savepoint
        self._tx = Transaction(session)

    @property
    def tx(self) -> Transaction:
        """The handler's side of it."""
        return self._tx

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        is_usable = False
        try:
            self._tx.end()
            self._check()
            self._write_and_keep(answer)
            is_usable = True
        except CommitUnknown:
            raise
        except StoreError:
            is_usable = self.session.undo(self._savepoint)
            raise
        finally:
            self._desk.finish(self, is_usable=is_usable)

    def abandon(self) -> None:
        """See Granted."""
        self._tx.end()
        is_usable = self.session.undo(self._savepoint)
        if not is_usable and not self.session.is_inherited:
            _LOG.info("%s: its connection is given up; the server rolls back what was on it", self.claim.operation)
        self._desk.finish(self, is_usable=is_usable)

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted. A nested unit's transaction is the outer one's to run again."""
        if self.outer is not None:
            return False
        if self.session.conflict:
            return True
        while error is not None:
            if trouble_with(error) is Trouble.CONFLICT:
                return True
            error = error.__cause__
        return False

    def _check(self) -> None:
        """Whether the handler left a transaction that can be committed."""
        session = self.session
        if session.is_inherited:
            raise StoreUnavailable("this process was forked while the handler ran; the transaction is its parent's")
        if session.broke:
            raise TransactionBroken(f"it tried {session.broke}")
        status = session.status
        if status is TransactionStatus.UNKNOWN:
            raise StoreUnavailable("the connection was lost while the handler ran; nothing was committed")
        if status is TransactionStatus.INERROR:
            if session.conflict:
                raise self._conflict("a statement of it was undone for the sake of another transaction")
            raise TransactionBroken("a statement of it failed outside of any tx.savepoint()")
        if status is not TransactionStatus.INTRANS:
            raise TransactionBroken("its transaction does not stand any more")

    def _write_and_keep(self, answer: StoredAnswer) -> None:
        kept = "COMMIT" if self._savepoint is None else f"RELEASE {self._savepoint}"
        try:
            tag = _claims.settle(
                self.session, self.claim, answer, transaction_id=self._written.transaction_id, ending=kept
            )
        except psycopg.Error as error:
            raise self._not_kept(error) from error
        # COMMIT of a transaction that was aborted raises nothing: it says ROLLBACK.
        if tag != kept.partition(" ")[0]:
            raise TransactionBroken(f"the server answered {tag} to {kept}")

    def _not_kept(self, error: psycopg.Error) -> StoreError:
        """What an error says that came instead of the answer to COMMIT or RELEASE."""
        text = error.diag.message_primary or str(error)
        if self.session.connection.closed:
            return self._lost(error, text)
        if error.sqlstate == DIVISION_BY_ZERO:
            return TransactionBroken("its claim is not there any more, or not in this transaction")
        trouble = trouble_with(error)
        if trouble is Trouble.CONFLICT:
            return self._conflict(text)
        # What is left is a deferred constraint: what the handler wrote cannot be committed.
        return StoreUnavailable(text) if trouble is Trouble.UNAVAILABLE else TransactionBroken(text)

    def _lost(self, error: psycopg.Error, text: str) -> StoreError:
        if error.sqlstate == IDLE_TIMEOUT:
            return StoreUnavailable(f"its handler did nothing in its transaction for longer than idle_s: {text}")
        return CommitUnknown(text) if self._savepoint is None else StoreUnavailable(f"the connection was lost: {text}")

    def _conflict(self, text: str) -> StoreError:
        if self.outer is None:
            return TransactionConflict(text)
        # Only the whole transaction can run again: the outermost unit asks for this when its handler has ended.
        self.session.conflict = True
        return StoreUnavailable(text)
