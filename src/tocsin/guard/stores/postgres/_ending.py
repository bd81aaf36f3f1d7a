"""How a granted claim goes on and ends: what is said to the server, and what its answer means.

Rule: COMMIT is believed by nothing but its tag. A connection that is lost at COMMIT says nothing about it either way.
"""

from logging import INFO

import psycopg
from psycopg.pq import TransactionStatus

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown, StoreError, StoreUnavailable, TransactionBroken, TransactionConflict
from tocsin.guard._store import Claim
from tocsin.guard.stores.postgres import _claims, _sequences
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._session import Session, trouble_with
from tocsin.guard.stores.postgres._sqlstates import DIVISION_BY_ZERO, IDLE_TIMEOUT, NO_SUCH_STATEMENT, Trouble
from tocsin.guard.stores.postgres._talk import Talk


class Ending:
    """The end of a transaction, or of a savepoint in one.

    Args:
        session: the connection, the claim written on it.
        claim: what was written.
        written: in which transaction.
        savepoint: the savepoint that is open; None: the whole transaction ends.

    Attributes:
        is_usable: whether something else may be said on the connection; only afterwards.
    """

    __slots__ = ("_claim", "_savepoint", "_session", "_written", "is_usable")

    def __init__(self, session: Session, claim: Claim, written: Written, savepoint: str | None) -> None:
        self._session = session
        self._claim = claim
        self._written = written
        self._savepoint = savepoint
        self.is_usable = False

    def advancing(self, wait_s: float) -> Talk[bool]:
        """See Granted.advance; the handler has not begun."""
        return _sequences.advancing(self._session, self._claim, wait_s=wait_s, is_nested=self._savepoint is not None)

    def settling(self, answer: StoredAnswer) -> Talk[None]:
        """See Granted.settle; the handler has ended."""
        try:
            self._check()
            yield from self._keeping(answer)
        except CommitUnknown:
            raise
        except StoreError:
            self.is_usable = yield from self._session.undone(self._savepoint)
            raise
        self.is_usable = True

    def abandoning(self) -> Talk[None]:
        """See Granted.abandon; the handler has ended."""
        self.is_usable = yield from self._session.undone(self._savepoint)
        if not self.is_usable and not self._session.is_inherited:
            notice = "its connection is given up; the server rolls back what was on it"
            _log.store_notice(self._claim.operation, notice, level=INFO)

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted.conflicts. A nested unit's transaction is the outer one's to run again."""
        if self._savepoint is not None:
            return False
        if self._session.conflict:
            return True
        while error is not None:
            if trouble_with(error) is Trouble.CONFLICT:
                return True
            error = error.__cause__
        return False

    def _check(self) -> None:
        """Whether the handler left a transaction that can be committed."""
        session = self._session
        if session.is_inherited:
            raise StoreUnavailable("this process was forked while the handler ran; the transaction is its parent's")
        if session.broke:
            raise TransactionBroken(f"it tried {session.broke}")
        if session.is_standing:
            return
        status = session.status
        if status is TransactionStatus.UNKNOWN:
            raise StoreUnavailable("the connection was lost while the handler ran; nothing was committed")
        if status is TransactionStatus.INERROR:
            if session.conflict:
                raise self._conflict("a statement of it was undone for the sake of another transaction")
            raise TransactionBroken("a statement of it failed outside of any tx.savepoint()")
        raise TransactionBroken("its transaction does not stand any more")

    def _keeping(self, answer: StoredAnswer) -> Talk[None]:
        transaction_id = self._written.transaction_id
        try:
            tag = yield from _claims.settling(
                self._session, self._claim, answer, transaction_id=transaction_id, savepoint=self._savepoint
            )
        except psycopg.Error as error:
            raise self._not_kept(error) from error
        # COMMIT of a transaction that was aborted raises nothing: it says ROLLBACK.
        kept = b"COMMIT" if self._savepoint is None else b"RELEASE"
        if tag != kept:
            raise TransactionBroken(f"the server answered {tag!r}; wanted {kept!r}")

    def _not_kept(self, error: psycopg.Error) -> StoreError:
        """What an error says that came instead of the answer to COMMIT or RELEASE."""
        text = error.diag.message_primary or str(error)
        if self._session.connection.closed:
            return self._lost(error, text)
        if error.sqlstate == DIVISION_BY_ZERO:
            return TransactionBroken("its claim is not there any more, or not in this transaction")
        if error.sqlstate == NO_SUCH_STATEMENT:
            # The handler has let go of what was prepared. Nothing is kept, and the next run does without.
            self._session.is_prepared = self._session.may_prepare = False
            return self._conflict(text)
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
        if self._savepoint is None:
            return TransactionConflict(text)
        # Only the whole transaction can run again: the outermost unit asks for this when its handler has ended.
        self._session.conflict = True
        return StoreUnavailable(text)
