"""Runs an async store behind the blocking interface, for the contract suite: its cases are written once.

Rule: every thread that calls has a task of its own, in which all of its calls run. So whatever a store makes of tasks
is put to the test by what a case does with threads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread, local
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import AsyncGranted, AsyncStore, Claim, Declares, Forgotten, Granted, Record

Tx = TypeVar("Tx")
T = TypeVar("T")
_Call: TypeAlias = "tuple[Callable[[], Awaitable[Any]], Future[Any]]"


class AsyncSubject(Protocol[Tx]):
    """An async store under test, with a table of the application beside the claims."""

    def open(self) -> AsyncStore[Tx]:
        """A store over the same database; each call is like another process."""
        ...

    async def write_effect(self, tx: Tx) -> None:
        """What a handler does: one row in the application's table."""
        ...

    def effects(self) -> int:
        """How many of them are committed."""
        ...


class _Tasks:
    """An event loop in a thread of its own, and on it a task for every thread that calls."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._calls = local()
        # An event loop does not keep its tasks; and what such a task waits for may be held by nobody but the task.
        self._serving: list[Future[None]] = []
        self._thread.start()

    def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await it in the task of the calling thread."""
        if not hasattr(self._calls, "queue"):
            self._calls.queue = asyncio.Queue()
            self._serving.append(asyncio.run_coroutine_threadsafe(_serve(self._calls.queue), self._loop))
        ended: Future[T] = Future()
        self._loop.call_soon_threadsafe(self._calls.queue.put_nowait, (call, ended))
        return ended.result()

    def close(self) -> None:
        """End the tasks and the loop."""
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _serve(calls: "asyncio.Queue[_Call]") -> None:
    while True:
        call, ended = await calls.get()
        try:
            ended.set_result(await call())
        except Exception as error:  # noqa: BLE001  it is the caller's
            ended.set_exception(error)


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _BridgedGranted(Granted[Tx]):
    def __init__(self, tasks: _Tasks, granted: AsyncGranted[Tx]) -> None:
        self._tasks = tasks
        self._granted = granted

    @property
    def tx(self) -> Tx:
        return self._granted.tx

    def advance(self, wait_s: float) -> bool:
        return self._tasks.run(lambda: self._granted.advance_async(wait_s))

    def settle(self, answer: StoredAnswer) -> None:
        self._tasks.run(lambda: self._granted.settle_async(answer))

    def abandon(self) -> None:
        self._tasks.run(self._granted.abandon_async)

    def conflicts(self, error: BaseException | None) -> bool:
        return self._granted.conflicts(error)


class BridgedStore(Generic[Tx]):
    """An async store as threads see it: see Store."""

    def __init__(self, tasks: _Tasks, store: AsyncStore[Tx]) -> None:
        self._tasks = tasks
        self._store = store
        self.is_own_failure = store.is_own_failure

    @property
    def declares(self) -> Declares:
        """See Store."""
        return self._store.declares

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        return self._tasks.run(lambda: self._store.look_async(key))

    def is_inside(self) -> bool:
        """See Store."""

        async def is_inside() -> bool:
            return self._store.is_inside_async()

        return self._tasks.run(is_inside)

    def take(self, claim: Claim, wait_s: float) -> Granted[Tx] | Record | Forgotten:
        """See Store."""
        taken = self._tasks.run(lambda: self._store.take_async(claim, wait_s))
        return _BridgedGranted(self._tasks, taken) if isinstance(taken, AsyncGranted) else taken

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        return self._tasks.run(lambda: self._store.sweep_async(now_unix_ms))

    def close(self) -> None:
        """See Store."""
        self._tasks.run(self._store.close_async)


class _BridgedSubject(Generic[Tx]):
    def __init__(self, tasks: _Tasks, subject: AsyncSubject[Tx]) -> None:
        self._tasks = tasks
        self._subject = subject
        self.effects = subject.effects

    def open(self) -> BridgedStore[Tx]:
        return BridgedStore(self._tasks, self._subject.open())

    def write_effect(self, tx: Tx) -> None:
        self._tasks.run(lambda: self._subject.write_effect(tx))


@contextmanager
def on_tasks(subject: AsyncSubject[Tx]) -> Iterator[_BridgedSubject[Tx]]:
    """An async subject as the cases of CONTRACT want it.

    with on_tasks(MyAsyncSubject()) as bridged:
        case(bridged)
    """
    tasks = _Tasks()
    try:
        yield _BridgedSubject(tasks, subject)
    finally:
        tasks.close()
