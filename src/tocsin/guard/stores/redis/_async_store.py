"""AsyncRedisStore: see RedisStore, for the tasks of an event loop.

Rule: what is said to the server and what its answers mean is written once, for both. Here is only who waits: a task,
and never the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from secrets import token_hex
from typing import Any, Protocol, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.exceptions import NoScriptError, RedisClusterException

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard._shielded import shielded, unless_cancelled
from tocsin.guard._store import AsyncGranted, Claim, Forgotten, Record
from tocsin.guard._talks import performed_async
from tocsin.guard.stores.redis import _claims, _options
from tocsin.guard.stores.redis._claims import DECLARES, Ask, Held, Pause, Talk
from tocsin.guard.stores.redis._lease import AsyncLease
from tocsin.guard.stores.redis._options import Names

Result = TypeVar("Result")


class AsyncClient(Protocol):
    """What the store needs of redis.asyncio's Redis or RedisCluster."""

    def execute_command(self, *words: Any) -> Awaitable[Any]:  # noqa: ANN401  untyped in redis-py too
        """Say it, and hear the answer."""
        ...


class AsyncRedisStore:
    """Claims and answers in Redis. What the handler writes elsewhere is not committed with them, and never undone.

    Args:
        server: as for RedisStore; or a client of redis.asyncio, which stays the application's to close.
        lease_s: as for RedisStore.
        may_run_again: as for RedisStore.
        prefix: as for RedisStore.

    Raises:
        GuardError: an argument is refused.
    """

    declares = DECLARES

    def __init__(
        self,
        server: str | AsyncClient,
        *,
        lease_s: float = _options.LEASE_S,
        may_run_again: bool = True,
        prefix: str = "tocsin",
    ) -> None:
        _options.check_lease(lease_s)
        self._names = Names(prefix)
        self._lease_s = lease_s
        self._may_run_again = may_run_again
        self._is_inspected = False
        self._client: AsyncClient
        self._pool: BlockingConnectionPool | None
        self._client, self._pool = _options.client_of(server, BlockingConnectionPool, Retry, Redis)

    async def check_async(self) -> None:
        """See RedisStore.check."""
        await self._say(_claims.inspecting(self._names))
        self._is_inspected = True

    async def look_async(self, key: bytes) -> Record | None:
        """See AsyncStore."""
        return await self._say(_claims.looking(self._names, key))

    def is_inside_async(self) -> bool:
        """See RedisStore.is_inside."""
        return False

    async def take_async(self, claim: Claim, wait_s: float) -> "AsyncUnit | Record | Forgotten":
        """See AsyncStore."""
        await self._inspect()
        holder = token_hex(16)
        talk = _claims.taking(
            self._names,
            claim,
            holder=holder,
            wait_s=wait_s,
            lease_s=self._lease_s,
            may_run_again=self._may_run_again,
        )
        try:
            taken = await self._say(talk)
        except asyncio.CancelledError:
            # What was asked last may have been granted all the same; nobody would settle it.
            await shielded(self._say(_claims.giving_back(self._names, claim, holder)))
            raise
        return self._unit(taken) if isinstance(taken, Held) else taken

    def is_own_failure(self, error: BaseException) -> bool:
        """See AsyncStore."""
        return _claims.is_down(error)

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See AsyncStore."""
        # Now and then, because an administrator may change it.
        self._is_inspected = False
        return await self._say(_claims.sweeping(self._names, now_unix_ms, may_run_again=self._may_run_again))

    async def close_async(self) -> None:
        """See AsyncStore. A client that was given stays open."""
        if self._pool is not None:
            await self._pool.disconnect()

    async def _inspect(self) -> None:
        if self._is_inspected:
            return
        try:
            await self.check_async()
        except GuardError as error:
            raise StoreUnavailable(str(error)) from error

    def _unit(self, held: Held) -> "AsyncUnit":
        return AsyncUnit(
            AsyncLease(held.token, lambda: self._say(_claims.extending(self._names, held, self._lease_s))),
            settle=lambda answer: shielded(self._say(_claims.settling(self._names, held, answer))),
            abandon=lambda: shielded(self._say(_claims.abandoning(self._names, held))),
        )

    def _say(self, talk: Talk[Result]) -> Coroutine[Any, Any, Result]:
        return performed_async(talk, self._perform)

    async def _perform(self, step: Ask | Pause) -> Any:  # noqa: ANN401  whatever the command answers
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        try:
            # Out of the reach of cancellations, which redis-py 8.1 takes for a time-out of its own and forgets.
            return await unless_cancelled(self._ask(step))
        except RedisClusterException as error:
            raise _claims.as_heard(error) from error

    async def _ask(self, ask: Ask) -> Any:  # noqa: ANN401  likewise
        say = self._client.execute_command
        if ask.script is None:
            return await say(*ask.words)
        try:
            return await say("EVALSHA", ask.script.sha, *ask.words)
        except NoScriptError:
            # The first time, and after SCRIPT FLUSH, a restart or a fail-over.
            return await say("EVAL", ask.script.text, *ask.words)


class AsyncUnit(AsyncGranted[AsyncLease]):
    """See Unit, for a task."""

    __slots__ = ("_abandon", "_lease", "_settle")

    def __init__(
        self,
        lease: AsyncLease,
        settle: Callable[[StoredAnswer], Awaitable[None]],
        abandon: Callable[[], Awaitable[None]],
    ) -> None:
        self._lease = lease
        self._settle = settle
        self._abandon = abandon

    @property
    def tx(self) -> AsyncLease:
        """The handler's side of it."""
        return self._lease

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        self._lease.end()
        await self._settle(answer)

    async def abandon_async(self) -> None:
        """See AsyncGranted. What the handler has written stays."""
        self._lease.end()
        await self._abandon()

    def conflicts(self, error: BaseException | None) -> bool:  # noqa: ARG002  no transaction, no conflict
        """See AsyncGranted."""
        return False
