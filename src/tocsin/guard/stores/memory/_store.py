"""MemoryStore: a mutex for every key, and the answers beside it, in the memory of one process.

Rule: whoever holds the mutex of a key is the one that applies it, and gives it back when claim, answer and the writes
of the handler stand in memory together. When the process ends all of it is gone together, the application's state too.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import RLock, local
from time import monotonic

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError, KeyInUse, StoreUnavailable
from tocsin.guard._fork import renew_in_children
from tocsin.guard._nested import refuse_itself
from tocsin.guard._store import Claim, Declares, Forgotten, Position, Record
from tocsin.guard.stores.memory._alone import Alone
from tocsin.guard.stores.memory._mutexes import Mutexes
from tocsin.guard.stores.memory._records import Records, is_over, kept
from tocsin.guard.stores.memory._transaction import Transaction
from tocsin.guard.stores.memory._unit import Unit

_MOST_BYTES = 256 << 20
_BEHIND = "another message of its stream was being applied until the time was over"
# The open units of the calling task, of all stores.
_UNITS: ContextVar[tuple[Unit, ...]] = ContextVar("tocsin_memory_units", default=())


class MemoryStore:
    """Claims and answers beside state that is in memory itself. Threads and tasks may use one store.

    Every process has claims of its own. A service that is served by two of them applies a message once in each.

    Args:
        max_bytes: about how much claims and answers may take. When they do, nothing new is applied: 503.
        lock_file: held by the one process that may apply anything; another one that serves as well answers 503. None:
            whoever starts the service sees to it that it is one process.

    Raises:
        GuardError: an argument is refused.
    """

    declares = Declares(atomic=True, durable=False, cross_process=False, ordered=True)

    def __init__(self, *, max_bytes: int = _MOST_BYTES, lock_file: str | Path | None = None) -> None:
        if not max_bytes > 0:
            raise GuardError(f"max_bytes = {max_bytes!r}; wanted a positive number of bytes")
        self._max_bytes = max_bytes
        self._alone = None if lock_file is None else Alone(Path(lock_file))
        self._mutexes = Mutexes()
        self._records = Records()
        self._lock = RLock()
        self._local = local()
        renew_in_children(self)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A block in which nothing is committed: what is read in it belongs together. It has to be short."""
        with self._lock:
            yield

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        with self._lock:
            return self._records.get(key)

    async def look_async(self, key: bytes) -> Record | None:
        """See AsyncStore."""
        return self.look(key)

    def is_inside(self) -> bool:
        """See Store."""
        return self._of_thread() is not None

    def is_inside_async(self) -> bool:
        """See AsyncStore."""
        return self._of_task() is not None

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store."""
        deadline, outer = monotonic() + wait_s, self._of_thread()
        nested = self._begun(claim, outer)
        if nested is not None:
            return nested
        if not self._mutexes.take(claim.key, wait_s):
            raise KeyInUse(f"{claim.operation}: another request has held the key for {wait_s:g} s")
        taken = self._taken(claim, deadline, outer)
        if isinstance(taken, Unit):
            self._local.unit = taken
        return taken

    async def take_async(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See AsyncStore."""
        deadline, outer = monotonic() + wait_s, self._of_task()
        nested = self._begun(claim, outer)
        if nested is not None:
            return nested
        if not await self._mutexes.take_async(claim.key, wait_s):
            raise KeyInUse(f"{claim.operation}: another request has held the key for {wait_s:g} s")
        taken = self._taken(claim, deadline, outer)
        if isinstance(taken, Unit):
            taken.task = asyncio.current_task()
            _UNITS.set((*_UNITS.get(), taken))
        return taken

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return isinstance(error, StoreUnavailable)

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        with self._lock:
            return self._records.sweep(now_unix_ms)

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See AsyncStore."""
        return self.sweep(now_unix_ms)

    def close(self) -> None:
        """See Store. The claims stay, as the application's state does."""
        if self._alone is not None:
            self._alone.end()

    async def close_async(self) -> None:
        """See AsyncStore."""
        self.close()

    def advance(self, unit: Unit, wait_s: float) -> bool:
        """Called by a unit: see Granted.advance."""
        position = _position(unit)
        mutex = ("stream", position.stream)
        if not unit.holds(mutex):
            if not self._mutexes.take(mutex, wait_s):
                raise StoreUnavailable(_BEHIND)
            unit.mutexes.append(mutex)
        return self._moved(unit, position)

    async def advance_async(self, unit: Unit, wait_s: float) -> bool:
        """See `advance`."""
        position = _position(unit)
        mutex = ("stream", position.stream)
        if not unit.holds(mutex):
            if not await self._mutexes.take_async(mutex, wait_s):
                raise StoreUnavailable(_BEHIND)
            unit.mutexes.append(mutex)
        return self._moved(unit, position)

    def commit(self, unit: Unit, answer: StoredAnswer) -> None:
        """Called by a unit: claim, answer and writes, together. Raises TransactionBroken: nothing of it."""
        if unit.outer is None:
            with self._lock:
                unit.tx.commit()
                for claim, stored in [*unit.settled, (unit.claim, answer)]:
                    self._records.add(claim, stored)
                for position in unit.moved:
                    self._records.move(position)
        else:
            unit.tx.commit()
            unit.outer.moved += unit.moved
            unit.outer.settled += [*unit.settled, (unit.claim, answer)]

    def finish(self, unit: Unit, *, is_settled: bool) -> None:
        """Called by a unit when it has ended: give back what it holds, or leave that to the outer one."""
        unit.has_ended = True
        if unit.task is None:
            self._local.unit = unit.outer
        else:
            _UNITS.set(tuple([other for other in _UNITS.get() if other is not unit]))
        if is_settled and unit.outer is not None:
            unit.outer.mutexes += unit.mutexes
            return
        unit.tx.release()
        for mutex in unit.mutexes:
            self._mutexes.give_back(mutex)

    def renew_after_fork(self) -> None:
        """See Renewable. What was settled stays, as the state that it was applied to does."""
        self._lock = RLock()
        self._local = local()
        if self._alone is not None:
            self._alone.end()

    def _of_thread(self) -> Unit | None:
        unit: Unit | None = getattr(self._local, "unit", None)
        return unit

    def _of_task(self) -> Unit | None:
        task = asyncio.current_task()
        for unit in reversed(_UNITS.get()):
            if unit.store is self and unit.task is task and not unit.has_ended:
                return unit
        return None

    def _begun(self, claim: Claim, outer: Unit | None) -> Record | None:
        """What a nested operation of the same request has settled under the key.

        Raises:
            GuardError: the handler that applies the key has called itself.
            StoreUnavailable: nothing may be applied now.
        """
        if self._alone is not None:
            self._alone.check()
        refuse_itself(outer, claim)
        while outer is not None:
            for settled, answer in outer.settled:
                if settled.key == claim.key:
                    return kept(settled, answer)
            outer = outer.outer
        with self._lock:
            if self._records.size >= self._max_bytes:
                self._records.sweep(claim.taken_unix_ms)
            if self._records.size >= self._max_bytes:
                raise StoreUnavailable(f"memory: claims and answers take max_bytes = {self._max_bytes}")
        return None

    def _moved(self, unit: Unit, position: Position) -> bool:
        """Whether a position is beyond its stream, whose mutex is held, and which is moved on at COMMIT then."""
        number = unit.number(position.stream)
        if number is None:
            with self._lock:
                number = self._records.number(position.stream)
        if number >= position.number:
            return False
        unit.moved.append(position)
        return True

    def _taken(self, claim: Claim, deadline: float, outer: Unit | None) -> Unit | Record | Forgotten:
        stands = self._stands(claim)
        if stands is None:
            return Unit(self, claim, Transaction(self._mutexes, deadline, None if outer is None else outer.tx), outer)
        self._mutexes.give_back(claim.key)
        return stands

    def _stands(self, claim: Claim) -> Record | Forgotten | None:
        """What stands in the way of a claim whose mutex is held."""
        with self._lock:
            record = self._records.get(claim.key)
            if record is not None and not is_over(record, claim.taken_unix_ms):
                return record
            if record is not None:
                self._records.forget(claim.key)
            return Forgotten() if self._records.is_forgotten(claim) else None


def _position(unit: Unit) -> Position:
    position = unit.claim.position
    assert position is not None, "only what has a position is ordered"
    return position
