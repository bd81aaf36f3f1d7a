"""What the cases of the contract of a store have in common: a subject, and claims on it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Granted, Position, Store

Tx = TypeVar("Tx")

NOW_UNIX_MS = 1_790_000_000_000
ANSWER = StoredAnswer(201, b'[["X-Order","17"]]', b"done \xff\x00")
WAIT_S = 10.0
RACERS = 8
_STREAM = hashlib.sha256(b"stock of item 17").digest()


class Subject(Protocol[Tx]):
    """A store under test, with a table of the application beside the claims."""

    def open(self) -> Store[Tx]:
        """A store over the same database; each call is like another process."""
        ...

    def write_effect(self, tx: Tx) -> None:
        """What a handler does: one row in the application's table."""
        ...

    def effects(self) -> int:
        """How many of them are committed."""
        ...


def claim(
    name: str = "order-1", *, taken_unix_ms: int = NOW_UNIX_MS, kept_ms: int | None = None, number: int | None = None
) -> Claim:
    """A claim for tests.

    Args:
        name: what the key is made of.
        taken_unix_ms: the guard's clock.
        kept_ms: for how long claim and answer are kept; None: for ever.
        number: its place in the one stream that there is; None: it has none.
    """
    until = None if kept_ms is None else taken_unix_ms + kept_ms
    key = hashlib.sha256(name.encode()).digest()
    position = None if number is None else Position(_STREAM, number)
    return Claim(key, "main", "/order", b"R" + bytes(32), taken_unix_ms, until, until, None, position)


@contextmanager
def open_on(subject: Subject[Tx], count: int = 1) -> Iterator[list[Store[Tx]]]:
    """So many stores of a subject, each like another process."""
    stores = [subject.open() for _ in range(count)]
    yield stores
    # Only after a case that held: one that failed may have left a transaction open, and its own error says more.
    for store in stores:
        store.close()


def granted_of(store: Store[Tx], wanted: Claim, wait_s: float = WAIT_S) -> Granted[Tx]:
    """The right to apply a claim whose key is free."""
    taken = store.take(wanted, wait_s)
    assert isinstance(taken, Granted), f"a free key was not granted: {taken}"
    return taken
