"""What the flow asks of the world, as typed steps. PURE.

Rule: a flow never performs anything. It yields a step and is resumed with the step's reply, or with one of the
exceptions that the step names; a driver performs it, on a thread or on a task. Nobody changes a step; that nobody can
would cost more than most of what is done with one.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Generic, TypeAlias, TypeVar

from tocsin.guard._answer import Answer, StoredAnswer
from tocsin.guard._signed import Signed
from tocsin.guard._store import AsyncGranted, Claim, Forgotten, Granted, Record

Reply = TypeVar("Reply")
Result = TypeVar("Result")


@dataclass(slots=True)
class Step(Generic[Reply]):
    """One thing to do; its type says what comes back.

    A generator has one type for whatever it is sent, so the flow says it once more where it yields one.
    """


Flow: TypeAlias = Generator[Step[Any], Any, Result]
# What a flow holds between a claim and its end; it only hands it from step to step.
Held: TypeAlias = Granted[Any] | AsyncGranted[Any]


@dataclass(slots=True)
class Running:
    """Another request of this process is applying the key, with this fingerprint."""

    fingerprint: bytes | None


class Waited(Enum):
    """How a wait for another request ended."""

    OVER = auto()
    """It has ended, one way or the other: look again."""

    TIMED_OUT = auto()
    CROWDED = auto()
    """So many wait already that this one was turned away at once."""


@dataclass(slots=True)
class Returned:
    """The handler returned; its writes stand if the status is remembered."""

    answer: Answer


@dataclass(slots=True)
class Refused:
    """The handler raised one of its framework's HTTP errors below 500: its writes are to be undone."""

    answer: Answer


@dataclass(slots=True)
class Raised:
    """The handler raised something else.

    Args:
        error: what it raised; BaseException too.
        store_failed: whether that says that the store is locked, full or down.
        claim: for the log.
    """

    error: BaseException
    store_failed: bool
    claim: Claim | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Conflicted:
    """The database undid the transaction for the sake of another one, whatever the handler made of that."""


Ran: TypeAlias = Returned | Refused | Raised | Conflicted


@dataclass(slots=True)
class Look(Step[Record | None]):
    """Read what is committed under the key. StoreUnavailable.

    Args:
        key: the key.
        is_hint: nothing follows from finding nothing, because a Take tells; a driver may save itself the trouble.
    """

    key: bytes
    is_hint: bool = False


@dataclass(slots=True)
class Join(Step[Running | None]):
    """Become the one request of this process that takes the key, or learn who is. None: it is this one.

    The driver gives the place back when the flow ends. Inside a transaction of the same thread it is always this one:
    waiting for a request that waits for that transaction would never end.
    """

    key: bytes
    fingerprint: bytes | None


@dataclass(slots=True)
class Wait(Step[Waited]):
    """Wait until the request that is applying the key has ended."""

    key: bytes


@dataclass(slots=True)
class Take(Step[Held | Record | Forgotten]):
    """Open the transaction and take the claim. StoreUnavailable, KeyInUse."""

    claim: Claim


@dataclass(slots=True)
class Advance(Step[bool]):
    """Move the claim's stream on to its number; False: it is there or beyond. StoreUnavailable, TransactionConflict.

    After either of them the flow has still to abandon what it was granted.
    """

    granted: Held


@dataclass(slots=True)
class Run(Step[Ran]):
    """Run the handler in the granted transaction."""

    granted: Held
    signed: Signed


@dataclass(slots=True)
class Settle(Step[None]):
    """Store the answer and commit. TransactionBroken, TransactionConflict, StoreUnavailable, CommitUnknown."""

    granted: Held
    answer: StoredAnswer


@dataclass(slots=True)
class Abandon(Step[None]):
    """Roll back everything, claim too."""

    granted: Held


@dataclass(slots=True)
class Pause(Step[None]):
    """Let other transactions go on for a moment, before the handler runs again.

    Args:
        attempt: 1 before the second run, 2 before the third.
    """

    attempt: int
