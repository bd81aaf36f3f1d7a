"""Connections that are opened once and kept, as a service without the guard keeps them: as many as it has clients."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Generic, TypeVar

Connection = TypeVar("Connection")
# One for each client, guarded or not.
MOST = 64


class Kept(Generic[Connection]):
    """For threads."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._free: list[Connection] = []

    @contextmanager
    def lent(self) -> Iterator[Connection]:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._free.append(connection)


class KeptAsync(Generic[Connection]):
    """For tasks."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._free: list[Connection] = []

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Connection]:
        connection = self._free.pop() if self._free else await self._connect()
        try:
            yield connection
        finally:
            self._free.append(connection)
