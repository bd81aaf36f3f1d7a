"""When a claim may be taken inside another one's transaction."""

from typing import Protocol

from tocsin.guard import _nested
from tocsin.guard._errors import TransactionBroken
from tocsin.guard._nested import refuse_itself
from tocsin.guard._store import Claim
from tocsin.guard.stores.postgres._session import Session


class Around(_nested.Around, Protocol):
    """A unit that another one is nested in."""

    @property
    def session(self) -> Session:
        """Its connection."""
        ...


def savepoint_in(around: Around, claim: Claim) -> str:
    """The name of a savepoint for a claim.

    Raises:
        GuardError: the key is being applied by one of those around it.
        TransactionBroken: their transaction does not stand.
    """
    refuse_itself(around, claim)
    if not around.session.is_standing:
        raise TransactionBroken(f"{around.claim.operation}: its transaction does not stand any more")
    return around.session.savepoint()
