"""Orders in a dictionary of the one process. Bare: a lock around the one assignment, which is all there is to do."""

from threading import Lock

from tocsin.guard.stores.memory import MemoryStore, Transaction


class OnThreads:
    def __init__(self, _url: str) -> None:
        self.store = MemoryStore()
        self._orders: dict[str, int] = {}
        self._lock = Lock()

    def write(self, tx: Transaction, order_id: str) -> None:
        tx.put(self._orders, order_id, 1)

    def write_alone(self, order_id: str) -> None:
        with self._lock:
            self._orders[order_id] = 1


class OnTasks:
    def __init__(self, _url: str) -> None:
        self.store = MemoryStore()
        self._orders: dict[str, int] = {}

    async def write(self, tx: Transaction, order_id: str) -> None:
        tx.put(self._orders, order_id, 1)

    async def write_alone(self, order_id: str) -> None:
        self._orders[order_id] = 1
