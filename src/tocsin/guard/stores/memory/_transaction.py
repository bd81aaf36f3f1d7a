"""What a handler does to the application's state in memory: read, locked by name, and written when all is committed.

Rule: a write waits in the transaction until the answer is stored, so a handler that fails has written nothing, and
nobody has seen what it was about to write. What is changed in any other way (a list that is appended to, a file,
another service) neither waits nor is it undone.
"""

import asyncio
from collections.abc import Hashable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

from tocsin.guard._errors import StoreUnavailable, TransactionBroken, TransactionMisuse
from tocsin.guard.stores.memory._mutexes import Mutexes

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_GONE = object()


class Transaction:
    """The handler's side of it.

    Args:
        mutexes: of the store.
        deadline: until when the request may wait for one, by the monotonic clock.
        outer: the transaction that this one is nested in, or None.

    Attributes:
        outer: likewise.
        writes: what is to be written, by the mapping's identity and the key.
        locked: the mutexes that it holds.
    """

    __slots__ = ("_deadline", "_is_over", "_mutexes", "locked", "outer", "writes")

    def __init__(self, mutexes: Mutexes, deadline: float, outer: "Transaction | None") -> None:
        self._mutexes = mutexes
        self._deadline = deadline
        self.outer = outer
        self._is_over = False
        self.locked: list[Hashable] = []
        # By identity: two mappings of the application that are equal are still two.
        self.writes: dict[tuple[int, Hashable], tuple[MutableMapping[Any, Any], Any]] = {}

    def lock(self, *names: Hashable) -> None:
        """Hold the mutexes of these names until all is committed: whoever reads under them may rely on what it read.

        All that a handler needs are named at once, and are taken in one order, so no two handlers wait for each other.

        Raises:
            StoreUnavailable: another request has held one of them for the rest of wait_s.
            TransactionMisuse: the handler has locked before, has ended, or runs on an event loop.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001  documented, for libraries
            raise TransactionMisuse("tx.lock() would stop the event loop; wanted: await tx.lock_async()")
        for name in self._in_order(names):
            self._has_locked(name, taken=self._mutexes.take(name, self._left_s()))

    async def lock_async(self, *names: Hashable) -> None:
        """See `lock`, for a task."""
        for name in self._in_order(names):
            self._has_locked(name, taken=await self._mutexes.take_async(name, self._left_s()))

    def get(self, mapping: Mapping[Key, Value], key: Key, default: Value | None = None) -> Value | None:
        """What the mapping will hold when this is committed."""
        self._check()
        transaction: Transaction | None = self
        while transaction is not None:
            written = transaction.writes.get((id(mapping), key))
            if written is not None:
                value: Any = written[1]
                return default if value is _GONE else value
            transaction = transaction.outer
        return mapping.get(key, default)

    def put(self, mapping: MutableMapping[Key, Value], key: Key, value: Value) -> None:
        """Have the mapping hold it, from COMMIT on."""
        self._check()
        self.writes[id(mapping), key] = (mapping, value)

    def remove(self, mapping: MutableMapping[Key, Value], key: Key) -> None:
        """Have the mapping hold nothing under the key, from COMMIT on."""
        self._check()
        self.writes[id(mapping), key] = (mapping, _GONE)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A block whose writes are undone if it raises."""
        self._check()
        before = dict(self.writes)
        try:
            yield
        except BaseException:
            self.writes = before
            raise

    def end(self) -> None:
        """The handler has ended."""
        self._is_over = True

    def commit(self) -> None:
        """Write all of it: into the outer transaction, which then holds the mutexes too; or into the mappings.

        Raises:
            TransactionBroken: a mapping refused a write; what was written is taken back.
        """
        if self.outer is not None:
            self.outer.writes |= self.writes
            self.outer.locked += self.locked
            self.locked = []
            return
        before: list[tuple[MutableMapping[Any, Any], Hashable, Any]] = []
        try:
            for (_, key), (mapping, value) in self.writes.items():
                before.append((mapping, key, mapping.get(key, _GONE)))
                _write(mapping, key, value)
        except Exception as error:
            for mapping, key, value in reversed(before[:-1]):
                _write(mapping, key, value)
            raise TransactionBroken(f"a write was refused: {type(error).__name__}") from error

    def release(self) -> None:
        """Give the mutexes back."""
        locked, self.locked = self.locked, []
        for name in reversed(locked):
            self._mutexes.give_back(name)

    def _check(self) -> None:
        if self._is_over:
            raise TransactionMisuse("the transaction was used after its handler had ended")

    def _left_s(self) -> float:
        return max(0.0, self._deadline - monotonic())

    def _in_order(self, names: tuple[Hashable, ...]) -> list[Hashable]:
        self._check()
        if self.locked or (self.outer is not None and self.outer.locked):
            raise TransactionMisuse("locked before; wanted all names in one call, so that no two handlers wait in turn")
        # Not to be taken for the key of a claim, which is octets.
        return [("lock", name) for name in sorted(set(names), key=lambda name: (type(name).__qualname__, repr(name)))]

    def _has_locked(self, name: Hashable, *, taken: bool) -> None:
        if not taken:
            raise StoreUnavailable("another request holds what this one has to lock")
        self.locked.append(name)


def _write(mapping: MutableMapping[Any, Any], key: Hashable, value: object) -> None:
    if value is _GONE:
        mapping.pop(key, None)
    else:
        mapping[key] = value
