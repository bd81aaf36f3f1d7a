"""Claims in the memory of one process, for services whose state is there too and nowhere else."""

from tocsin.guard.stores.memory._store import MemoryStore
from tocsin.guard.stores.memory._transaction import Transaction

__all__ = ["MemoryStore", "Transaction"]
