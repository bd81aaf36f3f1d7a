"""Memory as the contract suite wants it: the application's state is a mapping beside the claims."""

from itertools import count
from typing import Any

from tocsin.guard.stores.memory import MemoryStore, Transaction


class MemorySubject:
    """Every store that is opened is one of another process, with claims of its own."""

    def __init__(self) -> None:
        self.state: dict[int, str] = {}
        self._ids = count()

    def open(self) -> MemoryStore:
        return MemoryStore()

    def write_effect(self, tx: Transaction) -> None:
        tx.put(self.state, next(self._ids), "effect")

    def effects(self) -> int:
        return len(self.state)


class OneProcess(MemorySubject):
    """Inside one process there is one store."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()

    def open(self) -> MemoryStore:
        return self.store


class OnTasks:
    """Likewise, for tasks."""

    def __init__(self, subject: MemorySubject) -> None:
        self._subject = subject
        self.open = subject.open
        self.effects = subject.effects

    async def write_effect(self, tx: Any) -> None:
        self._subject.write_effect(tx)
