"""A small application over the SQLite store, as tasks of an event loop use it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing, suppress
from pathlib import Path
from threading import get_ident
from typing import Any

from tocsin.guard import Transaction
from tocsin.guard._errors import GroupBroken
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.testing import ANSWER, claim

Handler = Callable[[Transaction], Awaitable[None]]
LONG_S = 30.0


class Shop:
    """Rows of an application beside the claims, and a small driver.

    Attributes:
        ran: which handlers ran, in order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits: list[int] = []
        self.store = SQLiteStore(path, on_connect=self._watch)
        with closing(sqlite3.connect(path)) as db:
            db.executescript("CREATE TABLE orders (name TEXT NOT NULL); CREATE TABLE once (id INTEGER PRIMARY KEY)")
        self.ran: list[str] = []

    def _watch(self, connection: sqlite3.Connection) -> None:
        """Note on which thread each COMMIT runs."""
        connection.set_trace_callback(lambda sql: self.commits.append(get_ident()) if sql[:6] == "COMMIT" else None)

    async def order(self, name: str, handler: Handler | None = None, *, wait_s: float | None = None) -> str | Record:
        """What a driver does, as far as it concerns the store."""
        while True:
            taken = await self.store.take_async(claim(name), LONG_S if wait_s is None else wait_s)
            if not isinstance(taken, Granted):
                assert isinstance(taken, Record)
                return taken
            self.ran.append(name)
            try:
                try:
                    taken.tx.execute("INSERT INTO orders VALUES (?)", (name,))
                    if handler is not None:
                        await handler(taken.tx)
                except BaseException:
                    await taken.abandon_async()
                    raise
                await taken.settle_async(ANSWER)
            except GroupBroken:
                continue
            return "applied"

    def line_up(self, *orders: tuple[str, Handler | None]) -> list[asyncio.Task[Any]]:
        """Tasks that will ask for the turn in this order; the first finds an idle store."""
        return [asyncio.create_task(self.order(name, handler)) for name, handler in orders]

    async def queued(self, count: int) -> None:
        """Let the loop run until so many wait for the turn."""
        while len(self.store.turns._turn._queue) != count:  # noqa: ASYNC110  what it waits for tells nobody
            await asyncio.sleep(0)

    @property
    def orders(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as db:
            return [name for (name,) in db.execute("SELECT name FROM orders ORDER BY rowid")]


def run(shop: Shop, work: Coroutine[Any, Any, None]) -> None:
    """Run it, and see that the turn came back."""

    async def main() -> None:
        # Opens the file: from here on a task that finds the store idle begins at once, before any other can come.
        warm = await shop.store.take_async(claim("warm"), LONG_S)
        assert isinstance(warm, Unit)
        await warm.abandon_async()
        await work
        assert await shop.order("at the end") == "applied"
        await shop.store.close_async()

    asyncio.run(main())
    assert shop.orders[-1:] == ["at the end"]


class Gate:
    """A handler that is inside until a test lets it go on."""

    def __init__(self) -> None:
        self.entered, self.leave = asyncio.Event(), asyncio.Event()

    async def __call__(self, _tx: Transaction) -> None:
        self.entered.set()
        await self.leave.wait()


async def fails(_tx: Transaction) -> None:
    raise RuntimeError("no")


async def breaks(tx: Transaction) -> None:
    with suppress(sqlite3.Error):
        tx.executemany("INSERT OR ROLLBACK INTO once VALUES (?)", [(1,), (1,)])
