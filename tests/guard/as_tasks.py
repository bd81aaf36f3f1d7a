"""An AsyncStore behind the interface of a Store, so that whatever holds for threads is shown for tasks as well.

One event loop runs on a thread of its own. Each take is a task of its own there, which then does what it is told.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

from tests.guard.subjects import SQLiteSubject
from tocsin.guard._answer import StoredAnswer
from tocsin.guard.stores import Claim, Forgotten, Granted, Record
from tocsin.guard.stores.sqlite import SQLiteStore, Transaction


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it there as a task, and wait for what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """Stop, and close what it used."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class TaskGranted(Granted[Transaction]):
    """What a task was granted: everything is done by that task."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.asked: asyncio.Queue[tuple[Callable[[Any], Any], Future[Any]]] = asyncio.Queue()

    @property
    def tx(self) -> Any:
        return TaskTransaction(self)

    def advance(self, wait_s: float) -> bool:
        is_newer: bool = self.ask(lambda granted: granted.advance_async(wait_s))
        return is_newer

    def settle(self, answer: StoredAnswer) -> None:
        self.ask(lambda granted: granted.settle_async(answer))

    def abandon(self) -> None:
        self.ask(lambda granted: granted.abandon_async())

    def ask(self, what: Callable[[Any], Any]) -> Any:
        """Have the task do it, and wait."""
        done: Future[Any] = Future()
        self._loop.call_soon_threadsafe(self.asked.put_nowait, (what, done))
        return done.result()


class TaskTransaction:
    """The task's transaction, from outside."""

    def __init__(self, granted: TaskGranted) -> None:
        self._granted = granted

    def execute(self, *arguments: Any) -> Any:
        async def execute(granted: Any) -> Any:
            return granted.tx.execute(*arguments)

        return self._granted.ask(execute)


class TaskStore:
    """See the module."""

    declares = SQLiteStore.declares

    def __init__(self, path: Path) -> None:
        self.store = SQLiteStore(path)
        self._loop = Loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, key: bytes) -> Record | None:
        found: Record | None = self._loop.run(self.store.look_async(key))
        return found

    def is_inside(self) -> bool:
        return False

    def take(self, claim: Claim, wait_s: float) -> Granted[Transaction] | Record | Forgotten:
        taken: Future[Any] = Future()
        self._loop.loop.call_soon_threadsafe(self._start, claim, wait_s, taken)
        result: Granted[Transaction] | Record | Forgotten = taken.result()
        return result

    def is_own_failure(self, error: BaseException) -> bool:
        return self.store.is_own_failure(error)

    def sweep(self, now_unix_ms: int) -> int:
        swept: int = self._loop.run(self.store.sweep_async(now_unix_ms))
        return swept

    def close(self) -> None:
        self._loop.run(self.store.close_async())
        self._loop.close()

    def _start(self, claim: Claim, wait_s: float, taken: Future[Any]) -> None:
        task = self._loop.loop.create_task(self._take(claim, wait_s, taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, claim: Claim, wait_s: float, taken: Future[Any]) -> None:
        try:
            granted = await self.store.take_async(claim, wait_s)
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            taken.set_exception(error)
            return
        if isinstance(granted, Record | Forgotten):
            taken.set_result(granted)
            return
        asker = TaskGranted(self._loop.loop)
        taken.set_result(asker)
        while self.store.is_inside_async():
            what, done = await asker.asked.get()
            try:
                done.set_result(await what(granted))
            except BaseException as error:  # noqa: BLE001  likewise
                done.set_exception(error)


class TaskSubject(SQLiteSubject):
    """The subject of the contract suite, each of its stores used by tasks."""

    def open(self) -> Any:
        return TaskStore(self.path)
