"""Orders in the Redis that keeps the claims: one SET, which no claim covers. Bare: that SET alone."""

import redis
import redis.asyncio

from bench.costs.orders.kept import MOST
from tocsin.guard.stores.redis import AsyncLease, AsyncRedisStore, Lease, RedisStore


class OnThreads:
    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, max_connections=2 * MOST)
        self.store = RedisStore(self._client)

    def write(self, _lease: Lease, order_id: str) -> None:
        self.write_alone(order_id)

    def write_alone(self, order_id: str) -> None:
        self._client.set(f"order:{order_id}", 1)


class OnTasks:
    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(url, max_connections=2 * MOST)
        self.store = AsyncRedisStore(self._client)

    async def write(self, _lease: AsyncLease, order_id: str) -> None:
        await self.write_alone(order_id)

    async def write_alone(self, order_id: str) -> None:
        await self._client.set(f"order:{order_id}", 1)
