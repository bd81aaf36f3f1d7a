"""One granted claim of a thread: an open transaction, or a savepoint in one, until it is settled or abandoned."""

from collections.abc import Callable

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Granted
from tocsin.guard._talks import performed
from tocsin.guard.stores.mariadb._blocking import Blocking
from tocsin.guard.stores.mariadb._ending import Ending
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._talk import Talk
from tocsin.guard.stores.mariadb._transaction import Transaction


class Unit(Granted[Transaction]):
    """BEGIN to COMMIT; or, inside another unit of the same thread, SAVEPOINT to RELEASE.

    Args:
        finish: called when the unit has ended.
        perform: performs its last words.
        session: the connection, the claim written on it.
        claim: what was written.
        ending: how it ends.
        outer: the unit that this one is nested in, or None.
    """

    __slots__ = ("_finish", "_perform", "_tx", "claim", "ending", "outer", "session")

    def __init__(
        self,
        finish: "Callable[[Unit], None]",
        perform: Blocking,
        session: Session,
        claim: Claim,
        *,
        ending: Ending,
        outer: "Unit | None",
    ) -> None:
        self._finish = finish
        self._perform = perform
        self.session = session
        self.claim = claim
        self.ending = ending
        self.outer = outer
        self._tx = Transaction(session)

    @property
    def tx(self) -> Transaction:
        """The handler's side of it."""
        return self._tx

    def advance(self, wait_s: float) -> bool:
        """See Granted."""
        return performed(self.ending.advancing(wait_s), self._perform)

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        self._end(self.ending.settling(answer))

    def abandon(self) -> None:
        """See Granted."""
        self._end(self.ending.abandoning())

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted."""
        return self.ending.conflicts(error)

    def _end(self, talk: Talk[None]) -> None:
        try:
            self._tx.end()
            performed(talk, self._perform)
        finally:
            self._finish(self)
