"""What an async handler gets of the transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.sql import Composable

from tocsin.guard._fetched_rows import FetchedRows
from tocsin.guard.stores.postgres._async_session import AsyncSession
from tocsin.guard.stores.postgres._session import Session, undoing
from tocsin.guard.stores.postgres._talk import said
from tocsin.guard.stores.postgres._transaction import ALIVE, Parameters, Watched


class AsyncTransaction(Watched):
    """The transaction in which the claim has been written and the answer will be.

    Whatever is written through it is committed with the answer, or not at all. It is for the task of its handler, and
    ends with it. On Python 3.11 asyncio.wait_for() makes a task of its own; asyncio.timeout() does not.
    """

    __slots__ = ("_hold",)
    _WHOSE = "the task of its handler"

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session, asyncio.current_task())
        self._hold = session.hold

    async def execute(self, sql: str | Composable, parameters: Parameters = ()) -> FetchedRows:
        """See Transaction.execute."""
        session = self._live(asyncio.current_task())
        text = self._permitted(session, sql)
        return await self._rows(session, lambda cursor: cursor.execute(text, parameters or None))

    async def executemany(self, sql: str | Composable, parameters: Iterable[Parameters]) -> FetchedRows:
        """See Transaction.executemany."""
        session = self._live(asyncio.current_task())
        text = self._permitted(session, sql)
        return await self._rows(session, lambda cursor: cursor.executemany(text, parameters))

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """See Transaction.savepoint."""
        session = self._live(asyncio.current_task())
        name = session.savepoint()
        await self._hold(said(f"SAVEPOINT {name}"))
        try:
            yield
        except BaseException:
            if session.status in ALIVE:
                await self._hold(said(undoing(name)), is_shielded=True)
                # Whoever catches the error now has made up for it.
                session.conflict = False
            raise
        await self._hold(said(f"RELEASE {name}"))

    async def _rows(self, session: Session, execute: Callable[[AsyncCursor[Any]], Any]) -> FetchedRows:
        connection = session.connection
        assert isinstance(connection, AsyncConnection)
        cursor = connection.cursor()
        try:
            await execute(cursor)
            # psycopg has the whole result by now; it only makes Python's values of it.
            rows = [] if cursor.description is None else await cursor.fetchall()
        except psycopg.Error as error:
            self._failed(error)
            raise
        return FetchedRows(cursor, rows, self)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended with its handler."""
        return self._session is None
