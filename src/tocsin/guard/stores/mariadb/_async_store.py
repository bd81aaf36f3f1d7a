"""AsyncMariaDBStore: see MariaDBStore, for the tasks of an event loop.

Rule: what is said to the server and what its answers mean is written once, for both. Here is only who waits: a task,
and never the event loop.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import aiomysql

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError
from tocsin.guard._fork import renew_in_children
from tocsin.guard._shielded import shielded
from tocsin.guard._store import AsyncGranted, Claim, Forgotten, Record
from tocsin.guard._talks import performed_async
from tocsin.guard.stores.mariadb import _errands, _options
from tocsin.guard.stores.mariadb._async_performing import Performing
from tocsin.guard.stores.mariadb._async_transaction import AsyncTransaction
from tocsin.guard.stores.mariadb._connections import Connections
from tocsin.guard.stores.mariadb._ending import Ending
from tocsin.guard.stores.mariadb._errnos import Trouble
from tocsin.guard.stores.mariadb._session import Session, trouble_with
from tocsin.guard.stores.mariadb._talk import Talk

T = TypeVar("T")
# The open units of the calling task, of all stores. A task that a handler has started finds its handler's here.
_UNITS: "ContextVar[tuple[AsyncUnit, ...]]" = ContextVar("tocsin_mariadb_units", default=())


class AsyncUnit(AsyncGranted[AsyncTransaction]):
    """See Unit; for the task that was granted."""

    __slots__ = ("_tx", "claim", "ending", "has_ended", "outer", "session", "store", "task")

    def __init__(
        self, store: "AsyncMariaDBStore", session: Session, claim: Claim, *, ending: Ending, outer: "AsyncUnit | None"
    ) -> None:
        self.store = store
        self.session = session
        self.claim = claim
        self.ending = ending
        self.outer = outer
        self.task = asyncio.current_task()
        self.has_ended = False
        self._tx = AsyncTransaction(session)

    @property
    def tx(self) -> AsyncTransaction:
        """The handler's side of it."""
        return self._tx

    async def advance_async(self, wait_s: float) -> bool:
        """See AsyncGranted."""
        return await self.store.perform(self.ending.advancing(wait_s))

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        await self._end(self.ending.settling(answer))

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        await self._end(self.ending.abandoning())

    def conflicts(self, error: BaseException | None) -> bool:
        """See AsyncGranted."""
        return self.ending.conflicts(error)

    async def _end(self, talk: Talk[None]) -> None:
        try:
            self._tx.end()
            await shielded(self.store.perform(talk))
        finally:
            self.store.finish(self)


class AsyncMariaDBStore:
    """Claims, answers and the application's tables in one MariaDB database.

    Nothing is connected before it is used, and the tables are made by `migrate_async`, once.

    Args:
        url: the database, "mariadb://user:password@host:3306/database"; or a function whose awaitable is a connection
            of aiomysql's. What it opens is the store's.
        max_connections: see MariaDBStore.
        idle_s: see MariaDBStore.

    Raises:
        GuardError: an argument is refused.
    """

    declares = _errands.DECLARES

    def __init__(
        self,
        url: str | Callable[[], Awaitable[Any]],
        *,
        max_connections: int = _options.MAX_CONNECTIONS,
        idle_s: float = _options.IDLE_S,
    ) -> None:
        _options.check(max_connections, idle_s)
        connect = url
        if isinstance(connect, str):
            connect = partial(_connected, _options.arguments(connect))
        self._connections = Connections(max_connections, idle_s)
        self._performing = Performing(self._connections, connect)
        renew_in_children(self)

    async def migrate_async(self) -> None:
        """See MariaDBStore.migrate."""
        await self.perform(_errands.migrating(self._connections))

    async def look_async(self, key: bytes) -> Record | None:
        """See AsyncStore."""
        return await self.perform(_errands.looking(self._connections, key))

    def is_inside_async(self) -> bool:
        """See AsyncStore."""
        return self._current() is not None

    async def take_async(self, claim: Claim, wait_s: float) -> AsyncUnit | Record | Forgotten:
        """See AsyncStore."""
        outer = self._current()
        if outer is not None and outer.task is not asyncio.current_task():
            raise GuardError(
                f"{claim.operation}: it was called inside the handler of {outer.claim.operation}, from another task; "
                "wanted: await it in the task of that handler, whose transaction it joins"
            )
        taken = await self.perform(_errands.taking(self._connections, claim, wait_s, outer))
        if isinstance(taken, Record | Forgotten):
            return taken
        session, ending = taken
        unit = AsyncUnit(self, session, claim, ending=ending, outer=outer)
        _UNITS.set((*_UNITS.get(), unit))
        return unit

    def is_own_failure(self, error: BaseException) -> bool:
        """See AsyncStore."""
        return trouble_with(error) is Trouble.UNAVAILABLE

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See AsyncStore."""
        return await self.perform(_errands.sweeping(self._connections, now_unix_ms))

    async def close_async(self) -> None:
        """See AsyncStore. Connections that a handler is using are kept until the store is closed again."""
        self._connections.stack.close()

    async def perform(self, talk: Talk[T]) -> T:
        """Do what a talk wants done, in the calling task."""
        return await performed_async(talk, self._performing)

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


async def _connected(told: dict[str, Any]) -> Any:  # noqa: ANN401  aiomysql has no types
    """As PyMySQL would, which knows other names for two of the arguments."""
    tls = told.get("ssl")
    if tls is not None:
        context = ssl.create_default_context(cafile=tls.get("ca"))
        if "cert" in tls:
            context.load_cert_chain(tls["cert"], tls.get("key"))
        told = told | {"ssl": context}
    rest = {name: value for name, value in told.items() if name not in {"database", "collation"}}
    first = {"init_command": f"SET NAMES {told['charset']} COLLATE {told['collation']}"} if "collation" in told else {}
    return await aiomysql.connect(db=told["database"], **rest, **first)
