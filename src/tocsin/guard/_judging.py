"""What a handler's end means to the flow, once the store has been asked about it. PURE."""

from typing import Any

from tocsin.guard._steps import Conflicted, Held, Raised, Ran, Refused, Returned
from tocsin.guard._store import AsyncStore, Store


def judged(ran: Returned | Refused, granted: Held) -> Ran:
    """A handler that came to an end by itself, or by one of its framework's HTTP errors below 500."""
    return Conflicted() if granted.conflicts(None) else ran


def judged_error(error: BaseException, granted: Held, store: Store[Any] | AsyncStore[Any]) -> Ran:
    """A handler that raised anything else."""
    if not isinstance(error, Exception):
        # Whoever stops a handler from outside does not want it to run again.
        return Raised(error, store_failed=False)
    if granted.conflicts(error):
        return Conflicted()
    return Raised(error, store_failed=store.is_own_failure(error))
