"""What an async handler gets of the transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pymysql

from tocsin.guard._shielded import shielded
from tocsin.guard.stores.mariadb._claims import undoing
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._transaction import Parameters, Rows, Watched


class AsyncTransaction(Watched):
    """See Transaction. It is for the task of its handler; rows are there already: `rows.fetchone()` without await."""

    __slots__ = ()
    _WHOSE = "the task of its handler"

    def __init__(self, session: Session) -> None:
        super().__init__(session, asyncio.current_task())

    async def execute(self, sql: str, parameters: Parameters = ()) -> Rows:
        """See Transaction.execute."""
        return await self._run(sql, lambda cursor, text: cursor.execute(text, parameters or None))

    async def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Rows:
        """See Transaction.executemany."""
        return await self._run(sql, lambda cursor, text: cursor.executemany(text, list(parameters)))

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """See Transaction.savepoint."""
        session = self._live(asyncio.current_task())
        name = session.savepoint()
        await self._checked(session, lambda cursor: cursor.execute(f"SAVEPOINT {name}"))
        try:
            yield
        except BaseException:
            if session.undone is None and not session.broke and not session.is_lost:
                await shielded(self._undo(session, name))
            raise
        await self._checked(session, lambda cursor: cursor.execute(f"RELEASE SAVEPOINT {name}"))

    async def _undo(self, session: Session, savepoint: str) -> None:
        back, release = undoing(savepoint)
        await self._checked(session, lambda cursor: cursor.execute(back))
        await self._checked(session, lambda cursor: cursor.execute(release))

    async def _run(self, sql: str, execute: Callable[[Any, str], Awaitable[Any]]) -> Rows:
        session = self._live(asyncio.current_task())
        text = self._permitted(session, sql)
        cursor = await self._checked(session, lambda cursor: execute(cursor, text))
        return Rows(cursor, await cursor.fetchall() if cursor.description else (), self)

    async def _checked(self, session: Session, execute: Callable[[Any], Awaitable[Any]]) -> Any:  # noqa: ANN401  aiomysql has no types
        cursor = await session.connection.cursor()
        try:
            await execute(cursor)
        except pymysql.Error as error:
            if not self._failed(session, error):
                await session.connection.ping(reconnect=False)
                self._asked(session)
            raise
        self._stands(session)
        return cursor
