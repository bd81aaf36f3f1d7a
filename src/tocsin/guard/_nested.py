"""A claim that is taken inside of another one's transaction, in whatever store. PURE."""

from typing import Protocol

from tocsin.guard._errors import GuardError
from tocsin.guard._store import Claim


class Around(Protocol):
    """A claim that is being applied, in which another one is taken."""

    @property
    def claim(self) -> Claim:
        """What is being applied."""
        ...

    @property
    def outer(self) -> "Around | None":
        """What it is nested in itself."""
        ...


def refuse_itself(around: Around | None, claim: Claim) -> None:
    """Refuse a claim whose key is being applied around it: it would wait for itself.

    Args:
        around: the innermost of those that it would be nested in; None: there is none.
        claim: what is to be taken.

    Raises:
        GuardError: its handler has called itself.
    """
    while around is not None:
        if around.claim.key == claim.key:
            raise GuardError(f"{claim.operation}: its handler called itself again under its own key")
        around = around.outer
