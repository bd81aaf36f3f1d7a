"""One granted claim of a thread: an open transaction, or a savepoint in one, until it is settled or abandoned."""

from collections.abc import Callable
from time import monotonic

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Granted
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._connections import LATE_S
from tocsin.guard.stores.postgres._ending import Ending
from tocsin.guard.stores.postgres._session import BlockingSession
from tocsin.guard.stores.postgres._transaction import Transaction


class Unit(Granted[Transaction]):
    """BEGIN to COMMIT; or, inside another unit of the same thread, SAVEPOINT to RELEASE.

    A nested unit has a claim and an answer of its own, and is committed when the outer one is, or undone with it.

    Args:
        finish: called when the unit has ended.
        session: the connection, the claim written on it.
        claim: what was written.
        written: in which transaction.
        savepoint: the savepoint that is open; None: the whole transaction is this unit's.
        outer: the unit that this one is nested in, or None.
    """

    __slots__ = ("_finish", "_tx", "claim", "ending", "outer", "session")

    def __init__(
        self,
        finish: "Callable[[Unit], None]",
        session: BlockingSession,
        claim: Claim,
        written: Written,
        *,
        savepoint: str | None = None,
        outer: "Unit | None" = None,
    ) -> None:
        self.session = session
        self.claim = claim
        self.outer = outer
        self.ending = Ending(session, claim, written, savepoint)
        self._finish = finish
        self._tx = Transaction(session)

    @property
    def tx(self) -> Transaction:
        """The handler's side of it."""
        return self._tx

    def advance(self, wait_s: float) -> bool:
        """See Granted."""
        return self.session.hold(self.ending.advancing(wait_s), until=monotonic() + wait_s + LATE_S)

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        try:
            self._tx.end()
            self.session.hold(self.ending.settling(answer))
        finally:
            self._finish(self)

    def abandon(self) -> None:
        """See Granted."""
        try:
            self._tx.end()
            self.session.hold(self.ending.abandoning())
        finally:
            self._finish(self)

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted."""
        return self.ending.conflicts(error)
