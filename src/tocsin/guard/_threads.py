"""Lets a plain function be the handler of a request on an event loop, with a store for threads.

Rule: a transaction belongs to a thread. So one thread is kept from the claim to COMMIT, and takes the claim, runs the
handler and commits, while the framework goes on in between on its loop. These threads are counted apart from the
framework's own: whoever holds a transaction must not have to wait for one that waits for the transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._sleepers import cancel_later, shielded_from
from tocsin.guard._store import AsyncGranted, Claim, Declares, Forgotten, Granted, Record, Store, Tx

T = TypeVar("T")

# As many as anyio, and so FastAPI, has for everything else.
_THREADS = 40
_limiters: RunVar[CapacityLimiter] = RunVar("tocsin_guard_threads")


class KeptThread:
    """One of anyio's worker threads, kept for a while; `end` gives it back."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None]
        self._failure: StoreUnavailable | None = None
        # In a context of its own: that of the request would keep the request, which keeps this thread.
        context = Context()
        self._working = self._loop.create_task(run_sync(self._work, limiter=_limiter()), context=context)
        self._working.add_done_callback(self._stopped, context=context)

    async def run(self, act: Callable[[], T]) -> T:
        """Run it on the thread, and wait for its end even if this task is cancelled meanwhile.

        Raises:
            CancelledError: this task was cancelled; the act has ended nonetheless.
            StoreUnavailable: there is no thread.
        """
        finished = await self.finish(act)
        if finished.cancelled is not None:
            raise finished.cancelled
        return finished.get()

    async def finish(self, act: Callable[[], T]) -> "Finished[T]":
        """Run it on the thread to its end, and say whether this task was cancelled meanwhile.

        Raises:
            StoreUnavailable: there is no thread to run it on.
            CancelledError: there is none, and this task was cancelled while it waited for one.
        """
        ended = self._ended = self._loop.create_future()
        finished: Finished[T] = Finished(partial(copy_context().run, act))

        def job() -> None:
            finished.run()
            self._loop.call_soon_threadsafe(_set, ended)

        self._jobs.put(job)
        while not ended.done():
            try:
                with shielded_from(finished.cancelled):
                    await asyncio.shield(ended)
            except asyncio.CancelledError as cancelled:
                # This very one is raised later: whoever cancelled the task knows it by its arguments.
                finished.cancelled = cancelled
        if self._failure is not None:
            raise finished.cancelled or self._failure
        return finished

    def end(self) -> None:
        """Give the thread back."""
        self._jobs.put(None)

    def _stopped(self, working: "asyncio.Task[None]") -> None:
        """No thread can be started, or this was cancelled. A thread that has begun none the less goes on."""
        error = None if working.cancelled() else working.exception()
        try:
            # Whoever takes an act out of the queue decides what becomes of it.
            job = self._jobs.get_nowait()
        except Empty:
            return
        if job is None:
            self._jobs.put(None)
            return
        self._failure = StoreUnavailable(f"no thread can be had: {error or 'the event loop ends'}")
        _set(self._ended)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class Finished(Generic[T]):
    """What became of an act on another thread.

    Attributes:
        cancelled: how the task that waited for it was cancelled meanwhile, if it was.
    """

    def __init__(self, act: Callable[[], T]) -> None:
        self.cancelled: asyncio.CancelledError | None = None
        self._act = act
        self._result: T
        self._error: BaseException | None = None

    def run(self) -> None:
        """On that thread."""
        try:
            self._result = self._act()
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            self._error = error

    def get(self) -> T:
        """What the act returned; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


class ThreadedGranted(AsyncGranted[Tx]):
    """A claim that was granted to a kept thread."""

    __slots__ = ("_granted", "thread")

    def __init__(self, granted: Granted[Tx], thread: KeptThread) -> None:
        self._granted = granted
        self.thread = thread

    @property
    def tx(self) -> Tx:
        """See AsyncGranted."""
        return self._granted.tx

    async def advance_async(self, wait_s: float) -> bool:
        """See AsyncGranted."""
        return await self.thread.run(lambda: self._granted.advance(wait_s))

    async def settle_async(self, answer: StoredAnswer) -> None:
        """See AsyncGranted."""
        await self._end(lambda: self._granted.settle(answer))

    async def abandon_async(self) -> None:
        """See AsyncGranted."""
        await self._end(self._granted.abandon)

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted."""
        return self._granted.conflicts(error)

    async def _end(self, act: Callable[[], None]) -> None:
        finished = await self.thread.finish(act)
        self.thread.end()
        if finished.cancelled is not None:
            cancel_later(finished.cancelled)
        finished.get()


class ThreadedStore(Generic[Tx]):
    """An AsyncStore over one for threads.

    Args:
        store: what the threads use. Where it is a store for tasks as well, looking into it needs no thread.
    """

    def __init__(self, store: Store[Tx]) -> None:
        self._store = store
        self._look_async: Callable[[bytes], Awaitable[Record | None]] = getattr(store, "look_async", self._look)

    @property
    def declares(self) -> Declares:
        """See Store."""
        return self._store.declares

    async def look_async(self, key: bytes) -> Record | None:
        """See Store."""
        return await self._look_async(key)

    def is_inside_async(self) -> bool:
        """A task is inside of nothing: what a handler on its thread calls, it calls there."""
        return False

    async def take_async(self, claim: Claim, wait_s: float) -> ThreadedGranted[Tx] | Record | Forgotten:
        """See AsyncStore."""
        thread = KeptThread()
        is_kept = False
        try:
            finished = await thread.finish(lambda: self._store.take(claim, wait_s))
            taken = finished.get()
            if not isinstance(taken, Granted):
                return taken
            if finished.cancelled is None:
                is_kept = True
                return ThreadedGranted(taken, thread)
            await thread.finish(taken.abandon)
            raise finished.cancelled
        finally:
            if not is_kept:
                thread.end()

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return self._store.is_own_failure(error)

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See Store."""
        return await run_sync(self._store.sweep, now_unix_ms, limiter=_limiter())

    async def close_async(self) -> None:
        """See Store."""
        await run_sync(self._store.close, limiter=_limiter())

    async def _look(self, key: bytes) -> Record | None:
        return await run_sync(self._store.look, key, limiter=_limiter())


def _limiter() -> CapacityLimiter:
    try:
        return _limiters.get()
    except LookupError:
        limiter = CapacityLimiter(_THREADS)
        _limiters.set(limiter)
        return limiter


def _set(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
