"""One granted claim in memory, until it is settled or abandoned."""

import asyncio
from collections.abc import Hashable
from typing import Protocol

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import AsyncGranted, Claim, Granted, Position
from tocsin.guard.stores.memory._transaction import Transaction


class Desk(Protocol):
    """What a unit needs of its store."""

    def advance(self, unit: "Unit", wait_s: float) -> bool:
        """See Granted.advance."""
        ...

    async def advance_async(self, unit: "Unit", wait_s: float) -> bool:
        """See AsyncGranted.advance_async."""
        ...

    def commit(self, unit: "Unit", answer: StoredAnswer) -> None:
        """Claim, answer, number and writes, together. Raises TransactionBroken: nothing of it."""
        ...

    def finish(self, unit: "Unit", *, is_settled: bool) -> None:
        """The unit has ended."""
        ...


class Unit(Granted[Transaction], AsyncGranted[Transaction]):
    """One granted claim; inside another one it is committed when the outer one is, or undone with it.

    Args:
        store: that granted it.
        claim: likewise.
        tx: the handler's side of it.
        outer: the unit that this one is nested in, or None.

    Attributes:
        mutexes: that it holds: those of claims by their keys, and those of streams.
        settled: what nested units have settled.
        moved: the streams that it has moved on, and how far.
        task: that was granted it; None: a thread was.
        has_ended: whether it was settled or abandoned.
    """

    __slots__ = ("_tx", "claim", "has_ended", "moved", "mutexes", "outer", "settled", "store", "task")

    def __init__(self, store: Desk, claim: Claim, tx: Transaction, outer: "Unit | None") -> None:
        self.store = store
        self.claim = claim
        self.outer = outer
        self.mutexes: list[Hashable] = [claim.key]
        self.settled: list[tuple[Claim, StoredAnswer]] = []
        self.moved: list[Position] = []
        self.task: asyncio.Task[object] | None = None
        self.has_ended = False
        self._tx = tx

    @property
    def tx(self) -> Transaction:
        """The handler's side of it."""
        return self._tx

    def holds(self, mutex: Hashable) -> bool:
        """Whether it holds a mutex, or what it is nested in does."""
        return mutex in self.mutexes or (self.outer is not None and self.outer.holds(mutex))

    def number(self, stream: bytes) -> int | None:
        """How far it has moved a stream on, or what it is nested in has; None: neither has."""
        for position in reversed(self.moved):
            if position.stream == stream:
                return position.number
        return None if self.outer is None else self.outer.number(stream)

    def advance(self, wait_s: float) -> bool:
        """See Granted."""
        return self.store.advance(self, wait_s)

    async def advance_async(self, wait_s: float) -> bool:
        """See AsyncGranted."""
        return await self.store.advance_async(self, wait_s)

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        self._tx.end()
        is_settled = False
        try:
            self.store.commit(self, answer)
            is_settled = True
        finally:
            self.store.finish(self, is_settled=is_settled)

    def abandon(self) -> None:
        """See Granted."""
        self._tx.end()
        self.store.finish(self, is_settled=False)

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        self.settle(answer)

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        self.abandon()

    def conflicts(self, error: BaseException | None) -> bool:  # noqa: ARG002  whoever waits has not begun
        """See Granted."""
        return False
