"""Redis as the contract suite wants it: claims there, and the application's effects elsewhere, as it is meant."""

from threading import Lock

from tests.guard.redis.server import RedisServer
from tocsin.guard.stores.redis import AsyncLease, AsyncRedisStore, Lease, RedisStore


class Elsewhere:
    """What the application writes to: another database, another service. Nobody takes it back."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._lock = Lock()
        self._tokens: list[int] = []

    def effects(self) -> int:
        return len(self._tokens)

    def write(self, token: int) -> None:
        with self._lock:
            self._tokens.append(token)


class RedisSubject(Elsewhere):
    def open(self) -> RedisStore:
        return RedisStore(self.server.url)

    def write_effect(self, tx: Lease) -> None:
        self.write(tx.token)


class AsyncRedisSubject(Elsewhere):
    def open(self) -> AsyncRedisStore:
        return AsyncRedisStore(self.server.url)

    async def write_effect(self, tx: AsyncLease) -> None:
        self.write(tx.token)
