"""Performs talks in a task, over aiomysql.

Rule: a task that is cancelled while it waits for the server leaves nothing on the connection that anybody would have to
find out about: aiomysql closes it, and the server rolls back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import pymysql
from aiomysql.cursors import Cursor
from pymysql.constants import CR

from tocsin.guard.stores.mariadb._connections import Connections
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._talk import Open, Place, Said, Say, Step


class Performing:
    """See performed_async().

    Args:
        connections: whose places are waited for.
        connect: opens a connection.
    """

    def __init__(self, connections: Connections, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connections = connections
        self._connect = connect

    async def __call__(self, step: Step) -> object:
        """Perform a step."""
        match step:
            case Say():
                return await _spoken(step)
            case Place():
                return await self._connections.stack.places.take_async(step.wait_s)
            case Open():
                connection = await self._connect()
                await connection.autocommit(False)
                return Session(connection)


class _Quiet(Cursor):  # type: ignore[misc]  # aiomysql has no types
    """Asks for no warnings, which would be a round trip more: nothing that the guard says depends on them."""

    async def _show_warnings(self, _connection: object) -> None:
        """See aiomysql's cursor."""


async def _spoken(step: Say) -> list[Said]:
    try:
        async with asyncio.timeout(None if step.until is None else max(0.0, step.until - monotonic())):
            replies = await _executed(step)
    except TimeoutError as error:
        step.session.hang_up()
        # It has been waited for: nobody shall wait again, on another connection.
        step.session.has_answered = True
        raise pymysql.OperationalError(CR.CR_SERVER_LOST, "the server did not answer in time") from error
    step.session.has_answered = True
    return replies


async def _executed(step: Say) -> list[Said]:
    cursor = await step.session.connection.cursor(_Quiet)
    await cursor.execute("; ".join(step.statements))
    replies = [await _read(cursor)]
    while await cursor.nextset():
        replies.append(await _read(cursor))
    return replies


async def _read(cursor: Any) -> Said:  # noqa: ANN401  aiomysql has no types
    return Said(list(await cursor.fetchall()) if cursor.description else [], cursor.rowcount)
