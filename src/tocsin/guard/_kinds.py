"""Which of the two kinds of store a service has: for threads, for tasks, or one object that is both. PURE."""

from typing import Any, cast

from tocsin.guard._errors import GuardError
from tocsin.guard._store import AsyncStore, Store, Tx


def store_for_threads(store: Store[Tx] | AsyncStore[Tx], who: str) -> Store[Tx]:
    """The store, if threads can use it.

    Raises:
        GuardError: it is for tasks of an event loop only.
    """
    if not hasattr(store, "take"):
        raise GuardError(
            f"{who}, runs on a thread, and {_name(store)} is for tasks of an event loop; wanted a store for threads, "
            "such as SQLiteStore or PostgresStore"
        )
    return cast("Store[Tx]", store)


def store_for_tasks(store: Store[Tx] | AsyncStore[Tx], who: str) -> AsyncStore[Tx]:
    """The store, if tasks of an event loop can use it.

    Raises:
        GuardError: it is for threads only.
    """
    if not hasattr(store, "take_async"):
        raise GuardError(
            f"{who}, runs on an event loop, and {_name(store)} is for threads; wanted a store for tasks, such as "
            "SQLiteStore or AsyncPostgresStore"
        )
    return cast("AsyncStore[Tx]", store)


def _name(store: Any) -> str:  # noqa: ANN401  it is named because it is not what was wanted
    return type(store).__name__
