"""When a claim may be taken inside another one's transaction."""

from typing import Protocol

from tocsin.guard._errors import GuardError, TransactionBroken
from tocsin.guard._store import Claim
from tocsin.guard.stores.postgres._session import Session


class Around(Protocol):
    """A unit that another one is nested in."""

    @property
    def session(self) -> Session:
        """Its connection."""
        ...

    @property
    def claim(self) -> Claim:
        """What it has claimed."""
        ...

    @property
    def outer(self) -> "Around | None":
        """What it is nested in itself."""
        ...


def savepoint_in(around: Around, claim: Claim) -> str:
    """The name of a savepoint for a claim.

    Raises:
        GuardError: the key is being applied by one of those around it.
        TransactionBroken: their transaction does not stand.
    """
    above: Around | None = around
    while above is not None:
        if above.claim.key == claim.key:
            raise GuardError(f"{claim.operation}: its handler called itself again under its own key")
        above = above.outer
    if not around.session.is_standing:
        raise TransactionBroken(f"{around.claim.operation}: its transaction does not stand any more")
    return around.session.savepoint()
