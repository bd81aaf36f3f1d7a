"""What the guard asks of a store. PURE.

Rule: whoever is Granted a key holds the store's transaction, in which the claim is already written. Settling writes the
answer and commits claim, handler's writes and answer together; abandoning leaves nothing of them. There is no state in
between for a crash to find.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError

Tx = TypeVar("Tx")


@dataclass(frozen=True, slots=True)
class Declares:
    """What a store promises. The contract suite runs what is declared, and the table of stores in the docs says it.

    Args:
        atomic: claim, handler's writes and answer are one commit.
        durable: what was answered survives the loss of power, which no case of the suite can cut.
        cross_process: processes that share the store share its claims.
        looks_first: a look waits for no writer and costs little beside a take, so it comes first where the process has
            met the key. Where both are a round trip, a take tells as much.
        ordered: it keeps streams: see Granted.advance.
    """

    atomic: bool
    durable: bool
    cross_process: bool
    looks_first: bool = True
    ordered: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Position:
    """Where a message stands among those that are applied in order.

    Args:
        stream: the 32 bytes under which its stream's highest number is kept.
        number: its own, 0 to 2**63 - 1.
    """

    stream: bytes
    number: int


@dataclass(slots=True, unsafe_hash=True)
class Claim:
    """A request's wish to be the one that is applied.

    Args:
        key: the 32 bytes of claim_key().
        tenant: for people who read the table; the key covers it.
        operation: likewise.
        fingerprint: what is compared when the key is seen again, or None.
        taken_unix_ms: now, by the guard's clock, in milliseconds.
        answer_until_unix_ms: when the stored answer may go; None: never.
        claim_until_unix_ms: when the claim may be forgotten; None: never.
        earliest_unix_ms: the earliest moment at which this very message can have been accepted before, from its signed
            timestamp; None where it has none or its claim is kept for ever.
        position: where it stands in its stream; None: its operation has no order.
    """

    key: bytes
    tenant: str
    operation: str
    fingerprint: bytes | None
    taken_unix_ms: int
    answer_until_unix_ms: int | None
    claim_until_unix_ms: int | None
    earliest_unix_ms: int | None
    position: Position | None = None


@dataclass(slots=True, unsafe_hash=True)
class Record:
    """A claim that somebody has committed.

    Args:
        fingerprint: as in Claim.
        status: the status that was answered; None: applied, and the answer is not known.
        headers: the stored header fields; None once they have gone.
        body: the stored body; None once it has gone.
        answer_until_unix_ms: as in Claim.
        claim_until_unix_ms: as in Claim.
    """

    fingerprint: bytes | None
    status: int | None
    headers: bytes | None
    body: bytes | None
    answer_until_unix_ms: int | None
    claim_until_unix_ms: int | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The message is so old that its claim may have been forgotten: a clock has gone backwards."""


class Rows(Protocol):
    """What a statement gave; read it before the handler returns."""

    @property
    def rowcount(self) -> int:
        """How many rows an INSERT, UPDATE or DELETE changed."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401  a row has the types of its query
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """What handlers get as `tx` from stores that speak SQL: what is written through it is committed with the answer."""

    def execute(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = (), /) -> Rows:
        """Run one statement, its placeholders spelled as the database's driver wants them."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[object] | Mapping[str, object]], /) -> Rows:
        """Run one statement for each of the parameters."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """A block whose writes are undone if it raises; the way to catch an SQL error and go on."""
        ...


class Granted(ABC, Generic[Tx]):
    """One caller's right to apply a key: the open transaction.

    Of N concurrent takers of one key, one is Granted, in any number of processes. Exactly one of settle and abandon
    is called, once, by the thread that was granted.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def tx(self) -> Tx:
        """What the handler gets: the transaction, without the power to end it."""

    def advance(self, wait_s: float) -> bool:  # noqa: ARG002  for stores that keep streams
        """Move the stream of the claim's position on to its number, in this transaction; False: it is there or beyond.

        Before the handler runs, and at most once. Whoever moved the stream on and has not ended yet is waited for; and
        until this transaction ends nobody else moves it. The number goes where the claim goes: what is abandoned
        leaves none behind.

        Args:
            wait_s: how long to wait for whoever has moved the stream, in seconds.

        Raises:
            TransactionConflict: the database undid the transaction for the sake of another one.
            StoreUnavailable: locked for longer than wait_s, full or down. Either way what is left is to be abandoned.
            GuardError: the store keeps no streams.
        """
        raise GuardError(f"{type(self).__qualname__} keeps no streams; wanted a store that does, or no sequence=")

    @abstractmethod
    def settle(self, answer: StoredAnswer) -> None:
        """Write the answer and commit; no answer may leave before this returns.

        Raises:
            TransactionBroken: the handler's transaction does not stand, or cannot be committed; it is rolled back.
            TransactionConflict: the database undid it for the sake of another transaction.
            GroupBroken: others broke what it shared with them; the next take of this thread is shared with nobody.
            StoreUnavailable: nothing was committed.
            CommitUnknown: nobody knows; take the claim again.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Roll back everything, claim too, so that a retry runs.

        Raises:
            GroupBroken: what the handler may have seen of others was undone as well, so its answer is not to be used.
            CommitUnknown: it is not known yet whether that will be committed.
        """

    def conflicts(self, error: BaseException | None) -> bool:  # noqa: ARG002  for stores whose transactions conflict
        """Whether the database has undone this transaction for the sake of another one, so that it may run again.

        Asked when the handler has ended.

        Args:
            error: what it raised, or None.
        """
        return False


class Store(Protocol[Tx]):
    """Where claims are kept, next to the application's own data."""

    @property
    def declares(self) -> Declares:
        """What this store promises."""
        ...

    def look(self, key: bytes) -> Record | None:
        """What is committed under the key, without a transaction and without waiting for writers.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...

    def is_inside(self) -> bool:
        """Whether the calling thread already holds this store's transaction, so that a take would nest."""
        ...

    def take(self, claim: Claim, wait_s: float) -> Granted[Tx] | Record | Forgotten:
        """Open the transaction and write the claim, or say what stands in its place.

        An expired claim is replaced. Inside a transaction of the same thread the claim is taken in a savepoint.

        Args:
            claim: what to write.
            wait_s: how long to wait for other writers, in seconds.

        Raises:
            StoreUnavailable: locked for longer than wait_s, full or down; nothing was written.
            KeyInUse: the store can tell that it was this very key that others held for so long.
        """
        ...

    def is_own_failure(self, error: BaseException) -> bool:
        """Whether an exception that came out of a handler says that the store is locked, full or down."""
        ...

    def sweep(self, now_unix_ms: int) -> int:
        """Let go of answers and claims that are due at that time; returns how many rows changed, a bounded number.

        Raises:
            StoreUnavailable: locked, full or down; nothing was let go.
            CommitUnknown: nobody knows whether it was.
        """
        ...

    def close(self) -> None:
        """Close every connection of this process. The store opens them again when it is used again."""
        ...


class AsyncGranted(ABC, Generic[Tx]):
    """Granted, for a task: what waits for the database does not keep the event loop.

    Exactly one of settle_async and abandon_async is called, once, by the task that was granted.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def tx(self) -> Tx:
        """What the handler gets: the transaction, without the power to end it."""

    async def advance_async(self, wait_s: float) -> bool:  # noqa: ARG002  likewise
        """See Granted.advance."""
        raise GuardError(f"{type(self).__qualname__} keeps no streams; wanted a store that does, or no sequence=")

    @abstractmethod
    async def settle_async(self, answer: StoredAnswer) -> None:
        """See Granted.settle. COMMIT is shielded: a task that is cancelled now is still told how it ended."""

    @abstractmethod
    async def abandon_async(self) -> None:
        """See Granted.abandon."""

    @abstractmethod
    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted.conflicts."""


class AsyncStore(Protocol[Tx]):
    """A store that tasks of an event loop use. One object may be this and a Store.

    It may have a method `ready_async(wait_s)` besides: what a request should await, for so many seconds at most, before
    it looks and prepares anything, or None. Nothing follows from it.
    """

    @property
    def declares(self) -> Declares:
        """What this store promises."""
        ...

    async def look_async(self, key: bytes) -> Record | None:
        """See Store.look."""
        ...

    def is_inside_async(self) -> bool:
        """See Store.is_inside; of the calling task."""
        ...

    async def take_async(self, claim: Claim, wait_s: float) -> AsyncGranted[Tx] | Record | Forgotten:
        """See Store.take. A task that is cancelled while it waits has taken nothing."""
        ...

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store.is_own_failure."""
        ...

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See Store.sweep."""
        ...

    async def close_async(self) -> None:
        """See Store.close."""
        ...
