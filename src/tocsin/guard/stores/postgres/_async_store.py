"""AsyncPostgresStore: see PostgresStore, for the tasks of an event loop.

Rule: what is said to the server and what its answers mean is written once, for both. Here is only who waits: a task,
and never the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import Any

from psycopg import AsyncConnection

from tocsin.guard._errors import GuardError
from tocsin.guard._fork import renew_in_children
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.postgres import _claims, _options, _schema
from tocsin.guard.stores.postgres._async_connections import AsyncConnections
from tocsin.guard.stores.postgres._async_unit import AsyncUnit
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._connections import LATE_S
from tocsin.guard.stores.postgres._nesting import savepoint_in
from tocsin.guard.stores.postgres._session import trouble_with
from tocsin.guard.stores.postgres._sqlstates import Trouble
from tocsin.guard.stores.postgres._store import DECLARES
from tocsin.guard.stores.postgres._taking import taking
from tocsin.guard.stores.postgres._talk import Aside

# The open units of the calling task, of all stores. A task that a handler has started finds its handler's here.
_UNITS: ContextVar[tuple[AsyncUnit, ...]] = ContextVar("tocsin_postgres_units", default=())


class AsyncPostgresStore:
    """Claims, answers and the application's tables in one PostgreSQL database.

    Nothing is connected before it is used, and the tables are made by `migrate_async`, once.

    Args:
        conninfo: the database, as psycopg.AsyncConnection.connect takes it ("postgresql://user@host/db"); or a function
            whose awaitable is a psycopg.AsyncConnection, for row factories, adapters and isolation levels. What it
            opens is the store's.
        max_connections: how many a process opens at most: one for each handler that runs at the same time. A request
            that finds all of them in use waits its turn.
        idle_s: a handler that does nothing in its transaction for longer is rolled back by the server, so that its key
            and its locks become free.

    Raises:
        GuardError: an argument is refused.
    """

    declares = DECLARES

    def __init__(
        self,
        conninfo: str | Callable[[], Awaitable[AsyncConnection[Any]]],
        *,
        max_connections: int = _options.MAX_CONNECTIONS,
        idle_s: float = _options.IDLE_S,
    ) -> None:
        _options.check(max_connections, idle_s)
        if isinstance(conninfo, str):
            conninfo = partial(AsyncConnection.connect, _options.whole(conninfo), autocommit=True)
        self._connections = AsyncConnections(conninfo, max_connections, idle_s)
        renew_in_children(self)

    async def migrate_async(self) -> None:
        """See PostgresStore.migrate."""
        deadline = monotonic() + _options.LOOK_WAIT_S
        await self._connections.say(lambda _: _schema.migrating(), deadline, is_patient=True)

    async def look_async(self, key: bytes) -> Record | None:
        """See AsyncStore."""
        deadline = monotonic() + _options.LOOK_WAIT_S
        return await self._connections.say(lambda session: _claims.reading(session, key), deadline)

    def is_inside_async(self) -> bool:
        """See AsyncStore."""
        unit = self._current()
        return unit is not None and unit.task is asyncio.current_task()

    async def take_async(self, claim: Claim, wait_s: float) -> AsyncUnit | Record | Forgotten:
        """See AsyncStore."""
        deadline = monotonic() + wait_s
        outer = self._current()
        if outer is not None:
            return await self._nest(outer, claim, deadline)
        session, taken = await self._connections.first(
            lambda session: taking(session, claim, deadline, savepoint=None), deadline
        )
        if not isinstance(taken, Written):
            self._connections.stack.give_back(session)
            return taken
        return _granted(AsyncUnit(self, session, claim, taken))

    def is_own_failure(self, error: BaseException) -> bool:
        """See AsyncStore."""
        return trouble_with(error) is Trouble.UNAVAILABLE

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See AsyncStore."""
        give_way_s = _options.GIVE_WAY_S
        deadline = monotonic() + give_way_s
        return await self._connections.say(lambda _: _claims.sweeping(now_unix_ms, give_way_s), deadline)

    async def close_async(self) -> None:
        """See AsyncStore. Connections that a handler is using are kept until the store is closed again."""
        self._connections.stack.close()

    def finish(self, unit: AsyncUnit) -> None:
        """Called by a unit when it has ended."""
        unit.has_ended = True
        _UNITS.set(tuple([other for other in _UNITS.get() if other is not unit]))
        self._connections.stack.finish(unit.session, is_usable=unit.ending.is_usable, is_nested=unit.outer is not None)

    def renew_after_fork(self) -> None:
        """See Renewable."""
        self._connections.stack.disown()

    def _current(self) -> AsyncUnit | None:
        """The innermost unit of this store that the calling task has opened, or the one that started the task."""
        for unit in reversed(_UNITS.get()):
            if unit.store is self and not unit.has_ended and not unit.session.is_inherited:
                return unit
        return None

    async def _nest(self, outer: AsyncUnit, claim: Claim, deadline: float) -> AsyncUnit | Record | Forgotten:
        if outer.task is not asyncio.current_task():
            raise GuardError(
                f"{claim.operation}: it was called inside the handler of {outer.claim.operation}, from another task; "
                "wanted: await it in the task of that handler, whose transaction it joins"
            )
        session = outer.session
        savepoint = savepoint_in(outer, claim)
        talk = taking(session, claim, deadline, savepoint=savepoint)
        taken = await session.hold(talk, until=deadline + LATE_S, elsewhere=self._elsewhere)
        if not isinstance(taken, Written):
            return taken
        return _granted(AsyncUnit(self, session, claim, taken, savepoint=savepoint, outer=outer))

    async def _elsewhere(self, aside: Aside) -> object:
        return await self._connections.say(aside.talk, aside.deadline)


def _granted(unit: AsyncUnit) -> AsyncUnit:
    _UNITS.set((*_UNITS.get(), unit))
    return unit
