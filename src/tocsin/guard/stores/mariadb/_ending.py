"""How a granted claim goes on and ends: what is said to the server, and what its answer means.

Rule: COMMIT follows only where the claim's own savepoint is still there and the answer was written beside the claim.
Whatever ended the transaction meanwhile (COMMIT, BEGIN, DDL, a deadlock) has taken the savepoint with it.
"""

from logging import INFO
from time import monotonic

import pymysql

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown, StoreError, StoreUnavailable, TransactionBroken, TransactionConflict
from tocsin.guard._store import Claim
from tocsin.guard.stores.mariadb import _claims, _sequences
from tocsin.guard.stores.mariadb._claims import Written
from tocsin.guard.stores.mariadb._errnos import ERROR_DURING_COMMIT, NO_SUCH_SAVEPOINT, SIGNALLED, Trouble
from tocsin.guard.stores.mariadb._session import Session, errno_of, text_of, trouble_with
from tocsin.guard.stores.mariadb._taking import LATE_S, undone
from tocsin.guard.stores.mariadb._talk import Say, Talk, said

# What stands round the statements of a message, with some to spare.
_ENVELOPE_OCTETS = 4096


class Ending:
    """The end of a transaction, or of a savepoint in one.

    Args:
        session: the connection, the claim written on it.
        claim: what was written.
        written: in which transaction.
        is_nested: only its savepoint ends, and not the transaction.

    Attributes:
        is_usable: whether something else may be said on the connection; only afterwards.
    """

    __slots__ = ("_claim", "_session", "_written", "is_nested", "is_usable")

    def __init__(self, session: Session, claim: Claim, written: Written, *, is_nested: bool) -> None:
        self._session = session
        self._claim = claim
        self._written = written
        self.is_nested = is_nested
        self.is_usable = False

    def advancing(self, wait_s: float) -> Talk[bool]:
        """See Granted.advance; the handler has not begun. Its stream was locked with the claim."""
        try:
            return (yield from _sequences.moving(self._session, self._claim, monotonic() + wait_s + LATE_S))
        except pymysql.Error as error:
            if trouble_with(error) is Trouble.CONFLICT:
                raise self._conflict(text_of(error)) from error
            raise StoreUnavailable(f"the sequence number cannot be stored: {text_of(error)}") from error

    def settling(self, answer: StoredAnswer) -> Talk[None]:
        """See Granted.settle; the handler has ended."""
        try:
            self.check(answer)
            yield from self._keeping(answer)
        except CommitUnknown:
            raise
        except StoreError:
            self.is_usable = yield from undone(self._session, self._undone_to)
            raise
        self.is_usable = True

    def abandoning(self) -> Talk[None]:
        """See Granted.abandon; the handler has ended."""
        self.is_usable = yield from undone(self._session, self._undone_to)
        if not self.is_usable and not self._session.is_inherited:
            notice = "its connection is given up; the server rolls back what was on it"
            _log.store_notice(self._claim.operation, notice, level=INFO)

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted.conflicts. A nested unit's transaction is the outer one's to run again."""
        if self.is_nested:
            return False
        if self._session.undone is Trouble.CONFLICT:
            return True
        while error is not None:
            if trouble_with(error) is Trouble.CONFLICT:
                return True
            error = error.__cause__
        return False

    def check(self, answer: StoredAnswer) -> None:
        """Whether the handler left a transaction that can be committed, and an answer that can be sent. StoreError."""
        session = self._session
        if session.is_inherited:
            raise StoreUnavailable("this process was forked while the handler ran; the transaction is its parent's")
        if session.undone is Trouble.CONFLICT:
            raise self._conflict("a statement of it was undone for the sake of another transaction")
        if session.broke:
            raise TransactionBroken(f"it tried {session.broke}")
        if session.is_lost:
            raise StoreUnavailable("the connection was lost while the handler ran; nothing was committed")
        if session.undone is not None:
            raise StoreUnavailable("the server undid the transaction while the handler ran; nothing was committed")
        wanted = 2 * (len(answer.headers) + len(answer.body)) + _ENVELOPE_OCTETS
        if session.most_octets and wanted > session.most_octets:
            raise TransactionBroken(
                f"its answer makes a message of {wanted} octets; "
                f"the server's max_allowed_packet is {session.most_octets}"
            )

    def not_kept(self, error: pymysql.Error) -> StoreError:
        """What an error says that came instead of the answer to COMMIT or RELEASE."""
        text, number = text_of(error), errno_of(error)
        if self._session.is_lost or number == ERROR_DURING_COMMIT:
            return StoreUnavailable(f"the connection was lost: {text}") if self.is_nested else CommitUnknown(text)
        if number == SIGNALLED:
            return TransactionBroken("its claim is not there any more")
        if number == NO_SUCH_SAVEPOINT:
            return TransactionBroken("its transaction does not stand any more")
        match trouble_with(error):
            case Trouble.CONFLICT:
                return self._conflict(text)
            case Trouble.UNAVAILABLE:
                return StoreUnavailable(text)
            case _:
                return TransactionBroken(text)

    @property
    def _undone_to(self) -> str | None:
        return self._written.savepoint if self.is_nested else None

    def _keeping(self, answer: StoredAnswer) -> Talk[None]:
        # A nested unit's savepoint is in the transaction around it, whose own end looks for its own.
        release = f"RELEASE SAVEPOINT {self._written.savepoint}"
        written = (_claims.answering(self._claim, answer), _claims.MUST_HAVE_CHANGED)
        statements = (*written, release) if self.is_nested else (release, *written, "COMMIT")
        try:
            yield from said(Say(self._session, statements))
        except pymysql.Error as error:
            raise self.not_kept(error) from error

    def _conflict(self, text: str) -> StoreError:
        if not self.is_nested:
            return TransactionConflict(text)
        # Only the whole transaction can run again: the outermost unit asks for this when its handler has ended.
        self._session.undone = Trouble.CONFLICT
        return StoreUnavailable(text)
