"""What every route of the service stands on: the connections, the signature, and who may set up.

Each statement borrows a connection of the pool and commits by itself.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import HTTPException, Request
from psycopg import AsyncConnection

SECRET = os.environ["LAB_SECRET"].encode()
DATABASE = os.environ["LAB_DATABASE"]
CONNECTIONS = 16

idle: asyncio.Queue[AsyncConnection[Any]] = asyncio.Queue()


@asynccontextmanager
async def connected() -> AsyncIterator[None]:
    connections = [await AsyncConnection.connect(DATABASE, autocommit=True) for _ in range(CONNECTIONS)]
    for connection in connections:
        idle.put_nowait(connection)
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


async def require_signature(request: Request) -> None:
    expected = hmac.new(SECRET, await request.body(), hashlib.sha256).hexdigest()
    # compare_digest of two str raises TypeError for anything outside ASCII: such a header is answered 500, not 401.
    if not hmac.compare_digest(request.headers.get("X-Signature", ""), expected):
        raise HTTPException(401, "bad signature")


def require_loopback(request: Request) -> None:
    if request.client is None or request.client.host not in {"127.0.0.1", "::1"}:
        raise HTTPException(403)
