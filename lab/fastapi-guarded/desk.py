"""What every route of the service stands on: the guard and its store, the connections, and who may set up."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import HTTPException, Request
from psycopg import AsyncConnection
from pydantic import Field

from tocsin.guard import Guard
from tocsin.guard.stores.postgres import AsyncPostgresStore
from tocsin.signing import KeyRing, Secret, preset

DATABASE = os.environ["LAB_DATABASE"]
# For what is not guarded: reading, setting up, resetting. The store opens its own.
CONNECTIONS = 4

store = AsyncPostgresStore(DATABASE)
guard = Guard(preset("tocsin-v1"), KeyRing.of(Secret.from_env("LAB_SECRET", key_id="lab")), store)
idle: asyncio.Queue[AsyncConnection[Any]] = asyncio.Queue()

# PostgreSQL's text holds no NUL, and a name that nobody can type is none.
Name = Annotated[str, Field(min_length=1, pattern=r"^[ -~]+$")]
Amount = Annotated[int, Field(ge=1, le=1000)]


@asynccontextmanager
async def connected() -> AsyncIterator[None]:
    connections = [await AsyncConnection.connect(DATABASE, autocommit=True) for _ in range(CONNECTIONS)]
    for connection in connections:
        idle.put_nowait(connection)
    await store.migrate_async()
    yield
    for connection in connections:
        await connection.close()


async def run(statement: str, *values: object) -> list[Any]:
    """One statement on a connection of the pool, committed when it returns; its rows, if it has any."""
    connection = await idle.get()
    try:
        cursor = await connection.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []
    finally:
        idle.put_nowait(connection)


def require_loopback(request: Request) -> None:
    if request.client is None or request.client.host not in {"127.0.0.1", "::1"}:
        raise HTTPException(403)
