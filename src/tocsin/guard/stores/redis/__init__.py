"""It cannot cover your writes: claims in Redis or Valkey, held by leases, beside data that is elsewhere.

Claim, answer and replay are right as long as the server keeps what it was told. What the handler writes is neither
committed with them nor undone: see docs/guard-redis.md for what that costs, measured.
"""

from tocsin.guard.stores.redis._async_store import AsyncRedisStore
from tocsin.guard.stores.redis._lease import AsyncLease, Lease
from tocsin.guard.stores.redis._store import RedisStore

__all__ = ["AsyncLease", "AsyncRedisStore", "Lease", "RedisStore"]
