"""DjangoStore for `async def` views: everything of a request happens on the one thread on which its ORM runs.

Rule: that thread is this request's alone. Django's ASGI handler and async_to_sync see to it; where nobody does, all
requests of the process would share one connection, and one another's transactions, so the claim is refused.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from asgiref.sync import AsyncToSync, SyncToAsync, sync_to_async

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError
from tocsin.guard._shielded import finished, shielded, unless_cancelled
from tocsin.guard._store import AsyncGranted, Claim, Forgotten, Record
from tocsin.guard.stores.django._transaction import Transaction
from tocsin.guard.stores.django._unit import Unit

# The innermost unit of each task that has one.
_units: "dict[tuple[int, asyncio.Task[Any] | None], AsyncUnit]" = {}


class Blocking(Protocol):
    """The store, for threads."""

    def look(self, key: bytes) -> Record | None: ...
    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten: ...
    def sweep(self, now_unix_ms: int) -> int: ...
    def close(self) -> None: ...
    def current(self) -> Unit | None: ...


class AsyncUnit(AsyncGranted[Transaction]):
    """A unit of the request's thread, held by a task."""

    __slots__ = ("_place", "outer", "unit")

    def __init__(self, unit: Unit, place: "tuple[int, asyncio.Task[Any] | None]") -> None:
        self.unit = unit
        self.outer = _units.get(place)
        self._place = place
        _units[place] = self

    @property
    def tx(self) -> Transaction:
        """See AsyncGranted. For functions that sync_to_async calls; models need no `tx`."""
        return self.unit.tx

    async def advance_async(self, wait_s: float) -> bool:
        """See AsyncGranted."""
        # Cancelled or not, it has ended; whatever it was goes with the claim.
        return await unless_cancelled(sync_to_async(self.unit.advance)(wait_s))

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        await self._end(lambda: self.unit.settle(answer))

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        await self._end(self.unit.abandon)

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted."""
        return self.unit.conflicts(error)

    async def _end(self, act: Callable[[], None]) -> None:
        if self.outer is None:
            _units.pop(self._place, None)
        else:
            _units[self._place] = self.outer
        await shielded(sync_to_async(act)())


async def look(store: Blocking, key: bytes) -> Record | None:
    """See AsyncStore."""
    return await sync_to_async(store.look)(key)


def is_inside(store: Blocking) -> bool:
    """See AsyncStore."""
    return bool(_units) and _place(store) in _units


async def take(store: Blocking, claim: Claim, wait_s: float) -> AsyncUnit | Record | Forgotten:
    """See AsyncStore."""
    _check_thread()
    place = _place(store)
    ours = _units.get(place)

    def taken() -> Unit | Record | Forgotten:
        if store.current() is not (None if ours is None else ours.unit):
            raise GuardError("another task's transaction is open on the thread of this request's ORM")
        return store.take(claim, wait_s)

    ended, cancelled = await finished(sync_to_async(taken)())
    if cancelled is None:
        result = ended.result()
        return AsyncUnit(result, place) if isinstance(result, Unit) else result
    left = None if ended.exception() is not None else ended.result()
    if isinstance(left, Unit):
        await finished(sync_to_async(left.abandon)())
    raise cancelled


async def sweep(store: Blocking, now_unix_ms: int) -> int:
    """See AsyncStore."""
    return await sync_to_async(store.sweep)(now_unix_ms)


async def close(store: Blocking) -> None:
    """See AsyncStore."""
    await sync_to_async(store.close)()


def _place(store: Blocking) -> "tuple[int, asyncio.Task[Any] | None]":
    return id(store), asyncio.current_task()


def _check_thread() -> None:
    has_context = SyncToAsync.thread_sensitive_context.get(None) is not None
    # Below async_to_sync it is the thread that waits there.
    if not (has_context or asyncio.get_running_loop() in AsyncToSync.loop_thread_executors):
        raise GuardError(
            "nobody gives this request a thread of its own for the ORM: all requests would share one connection; "
            "wanted a view that Django's own ASGI or WSGI handler calls"
        )
