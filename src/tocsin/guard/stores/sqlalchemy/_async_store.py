"""AsyncSQLAlchemyStore: see SQLAlchemyStore, for the tasks of an event loop.

Rule: what is done is written once, in SQLAlchemy's blocking style, and runs in a greenlet of the task. A task that is
cancelled before COMMIT rolls back; the end of a claim is waited for, and the task is cancelled then.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.util import await_only, greenlet_spawn

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard._fork import renew_in_children
from tocsin.guard._shielded import shielded
from tocsin.guard._store import AsyncGranted, Claim, Declares, Forgotten, Record
from tocsin.guard._turn import Turn
from tocsin.guard.stores.sqlalchemy._control import watch_session
from tocsin.guard.stores.sqlalchemy._desk import Desk, Held
from tocsin.guard.stores.sqlalchemy._source import async_engine_of, database_of, most_connections

# The open units of the calling task, of all stores. A task that a handler has started finds its handler's here.
_UNITS: "ContextVar[tuple[AsyncUnit, ...]]" = ContextVar("tocsin_sqlalchemy_units", default=())


class AsyncUnit(AsyncGranted[Any]):
    """See Unit; for the task that was granted. What the handler gets is an AsyncSession, or an AsyncConnection."""

    __slots__ = ("_tx", "held", "store", "task")

    def __init__(self, store: "AsyncSQLAlchemyStore", held: Held, tx: Any) -> None:  # noqa: ANN401  the application's own
        self.store = store
        self.held = held
        self.task = asyncio.current_task()
        self._tx = tx

    @property
    def tx(self) -> Any:  # noqa: ANN401  the application's own class
        """The handler's side of it."""
        return self._tx

    async def advance_async(self, wait_s: float) -> bool:
        """See AsyncGranted."""
        return await self.store.advance(self, monotonic() + wait_s)

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        await self.store.end(self.held, lambda desk: desk.keep(self.held, answer))

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        await self.store.end(self.held, lambda desk: desk.undo(self.held))

    def conflicts(self, error: BaseException | None) -> bool:
        """See AsyncGranted."""
        return self.held.work.conflicts(error)


class AsyncSQLAlchemyStore:
    """See SQLAlchemyStore.

    Args:
        source: the application's AsyncEngine, for handlers that get an AsyncConnection; or its async_sessionmaker, for
            handlers that get an AsyncSession.
        max_connections: see there.

    Raises:
        GuardError: the source is none that one transaction covers.
    """

    def __init__(self, source: "AsyncEngine | async_sessionmaker[Any]", *, max_connections: int | None = None) -> None:
        if max_connections is not None and max_connections < 1:
            raise GuardError(f"max_connections = {max_connections!r}; wanted 1 or more")
        self._source = source
        self._engine = async_engine_of(source)
        engine = self._engine.sync_engine
        self._desk = Desk(engine, database_of(engine, await_only))
        most = max_connections or most_connections(engine)
        self._places = Turn(self._desk.database.most_writers or most)
        renew_in_children(self)

    @property
    def declares(self) -> Declares:
        """See AsyncStore."""
        return self._desk.database.declares

    async def migrate_async(self) -> None:
        """See SQLAlchemyStore.migrate."""
        await greenlet_spawn(self._desk.migrate)

    async def look_async(self, key: bytes) -> Record | None:
        """See AsyncStore."""
        return await greenlet_spawn(self._desk.look, key)

    def is_inside_async(self) -> bool:
        """See AsyncStore."""
        return self._current() is not None

    async def take_async(self, claim: Claim, wait_s: float) -> AsyncUnit | Record | Forgotten:
        """See AsyncStore."""
        deadline = monotonic() + wait_s
        outer = self._current()
        if outer is not None and outer.task is not asyncio.current_task():
            raise GuardError(
                f"{claim.operation}: it was called inside the handler of {outer.held.claim.operation}, from another "
                "task; wanted: await it in the task of that handler, whose transaction it joins"
            )
        if outer is None and not await self._places.take_async(wait_s):
            raise StoreUnavailable(f"all places for guarded requests were taken for {wait_s:.3g} s")
        try:
            held = await greenlet_spawn(self._desk.take, claim, deadline, None if outer is None else outer.held)
        except BaseException:
            self._leave(outer)
            raise
        if not isinstance(held, Held):
            self._leave(outer)
            return held
        try:
            unit = AsyncUnit(self, held, self._tx(held))
        except BaseException:
            # The application's own class: see SQLAlchemyStore.
            await self.end(held, lambda desk: desk.undo(held))
            raise
        _UNITS.set((*_UNITS.get(), unit))
        return unit

    def is_own_failure(self, error: BaseException) -> bool:
        """See AsyncStore."""
        return self._desk.is_own_failure(error)

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See AsyncStore."""
        return await greenlet_spawn(self._desk.sweep, now_unix_ms)

    async def close_async(self) -> None:
        """See AsyncStore. The engine is the application's, and stays as it is."""

    def renew_after_fork(self) -> None:
        """See Renewable."""
        self._desk.engine.dispose(close=False)

    async def advance(self, unit: AsyncUnit, deadline: float) -> bool:
        """Called by a unit: see Granted.advance."""
        return await greenlet_spawn(self._desk.advance, unit.held, deadline)

    async def end(self, held: Held, how: Callable[[Desk], None]) -> None:
        """Called by a unit: keep or undo its claim."""
        try:
            await shielded(greenlet_spawn(how, self._desk))
        finally:
            _UNITS.set(tuple([unit for unit in _UNITS.get() if unit.held is not held]))
            if held.outer is None and not held.is_inherited:
                self._places.pass_on()

    def _current(self) -> AsyncUnit | None:
        for unit in reversed(_UNITS.get()):
            if unit.store is self and not unit.held.has_ended and not unit.held.is_inherited:
                return unit
        return None

    def _tx(self, held: Held) -> Any:  # noqa: ANN401  the application's own class
        connection = AsyncConnection(self._engine, held.connection)
        if isinstance(self._source, AsyncEngine):
            return connection
        session: AsyncSession = self._source(bind=connection, join_transaction_mode="create_savepoint")
        held.session = session.sync_session
        watch_session(held.session, held)
        return session

    def _leave(self, outer: AsyncUnit | None) -> None:
        if outer is None:
            self._places.pass_on()
