"""The connections of tasks: see _connections."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import AsyncConnection

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._session_stack import SessionStack
from tocsin.guard.stores.postgres._async_session import AsyncSession
from tocsin.guard.stores.postgres._connections import (
    LATE_S,
    LostWhenNewError,
    Replacing,
    explained,
    reaching,
    readying,
    tidied,
)
from tocsin.guard.stores.postgres._settings import telling
from tocsin.guard.stores.postgres._talk import Talk

T = TypeVar("T")
AsyncConnect: TypeAlias = Callable[[], Awaitable[AsyncConnection[Any]]]


class AsyncConnections:
    """The connections of tasks.

    Args:
        connect: opens one.
        most: how many may be open at once.
        idle_s: how long a handler may do nothing in its transaction.
    """

    def __init__(self, connect: AsyncConnect, most: int, idle_s: float) -> None:
        self.stack: SessionStack[AsyncSession] = SessionStack(most)
        self._connect = connect
        self._idle_s = idle_s

    async def take(self, wait_s: float) -> AsyncSession:
        """See Connections.take. A task that is cancelled has taken nothing."""
        if not await self.stack.places.take_async(wait_s):
            raise self.stack.crowded(wait_s)
        try:
            return self.stack.kept() or await self._opened()
        except BaseException:
            self.stack.places.pass_on()
            raise

    async def first(
        self, talk: Callable[[AsyncSession], Talk[T]], deadline: float, *, is_patient: bool = False
    ) -> tuple[AsyncSession, T]:
        """See Connections.first."""
        until = None if is_patient else deadline + LATE_S
        replacing = Replacing()
        while True:
            try:
                session = await self.take(max(0.0, deadline - monotonic()))
            except LostWhenNewError:
                if not replacing.does_once():
                    raise
                continue
            try:
                return session, await session.hold(talk(session), until=until)
            except (psycopg.Error, StoreUnavailable):
                is_replaced = replacing.does(session)
                self.stack.give_back(session)
                if not is_replaced:
                    raise
            except BaseException:
                self.stack.give_back(session)
                raise

    async def say(self, talk: Callable[[AsyncSession], Talk[T]], deadline: float, *, is_patient: bool = False) -> T:
        """See Connections.say."""
        with explained():
            session, ended = await self.first(
                lambda session: tidied(session, talk(session)), deadline, is_patient=is_patient
            )
        self.stack.give_back(session)
        return ended

    async def _opened(self) -> AsyncSession:
        with reaching():
            connection = await self._connect()
        try:
            with readying(connection):
                await connection.set_autocommit(True)
                session = AsyncSession(connection)
                session.know(await session.hold(telling(connection, self._idle_s)))
                return session
        except BaseException:
            connection.pgconn.finish()
            raise
