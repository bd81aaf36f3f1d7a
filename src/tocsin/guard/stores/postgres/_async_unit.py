"""One granted claim of a task: an open transaction, or a savepoint in one, until it is settled or abandoned."""

import asyncio
from time import monotonic
from typing import Protocol

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import AsyncGranted, Claim
from tocsin.guard.stores.postgres._async_session import AsyncSession
from tocsin.guard.stores.postgres._async_transaction import AsyncTransaction
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._connections import LATE_S
from tocsin.guard.stores.postgres._ending import Ending


class AsyncDesk(Protocol):
    """What a unit needs of its store."""

    def finish(self, unit: "AsyncUnit") -> None:
        """The unit has ended."""
        ...


class AsyncUnit(AsyncGranted[AsyncTransaction]):
    """See Unit; for the task that was granted.

    Args:
        store: the store.
        session: the connection, the claim written on it.
        claim: what was written.
        written: in which transaction.
        savepoint: the savepoint that is open; None: the whole transaction is this unit's.
        outer: the unit that this one is nested in, or None.
    """

    __slots__ = ("_tx", "claim", "ending", "has_ended", "outer", "session", "store", "task")

    def __init__(
        self,
        store: AsyncDesk,
        session: AsyncSession,
        claim: Claim,
        written: Written,
        *,
        savepoint: str | None = None,
        outer: "AsyncUnit | None" = None,
    ) -> None:
        self.session = session
        self.claim = claim
        self.outer = outer
        self.task = asyncio.current_task()
        self.ending = Ending(session, claim, written, savepoint)
        self.store = store
        self.has_ended = False
        self._tx = AsyncTransaction(session)

    @property
    def tx(self) -> AsyncTransaction:
        """The handler's side of it."""
        return self._tx

    async def advance_async(self, wait_s: float) -> bool:
        """See AsyncGranted."""
        return await self.session.hold(self.ending.advancing(wait_s), until=monotonic() + wait_s + LATE_S)

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        try:
            self._tx.end()
            await self.session.hold(self.ending.settling(answer), is_shielded=True)
        finally:
            self.store.finish(self)

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        try:
            self._tx.end()
            await self.session.hold(self.ending.abandoning(), is_shielded=True)
        finally:
            self.store.finish(self)

    def conflicts(self, error: BaseException | None) -> bool:
        """See AsyncGranted."""
        return self.ending.conflicts(error)
