"""The thread that a plain function's request keeps on an event loop, where there is none, and where the loop ends."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard.task_shop import LONG_S
from tests.guard.test_shielded import turn_the_loop
from tocsin.guard import StoreUnavailable
from tocsin.guard._threads import KeptThread, ThreadedGranted, ThreadedStore, _limiter
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.testing import ANSWER, claim


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "orders.db")
    yield made
    made.close()


def test_where_no_thread_can_be_started_the_store_is_unavailable(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would take up what waits for it, and the request would wait for ever."""

    def cannot_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        tasks = ThreadedStore(store)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", cannot_start)
            with pytest.raises(StoreUnavailable, match="no thread can be had: can't start new thread"):
                await tasks.take_async(claim("17"), 0.0)
        granted = await tasks.take_async(claim("17"), 0.0)
        assert isinstance(granted, ThreadedGranted)
        await granted.settle_async(ANSWER)

    asyncio.run(main())


def test_a_loop_that_ends_is_not_held_up_by_requests_that_wait_for_a_thread(store: SQLiteStore) -> None:
    """All of its tasks are cancelled: the request's, and the one that would have had the thread."""

    async def main() -> None:
        limiter = _limiter()
        for _ in range(int(limiter.total_tokens)):
            limiter.acquire_on_behalf_of_nowait(object())
        waiting = asyncio.create_task(ThreadedStore(store).take_async(claim("17"), LONG_S))
        await turn_the_loop()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([waiting], timeout=LONG_S)
        assert waiting.cancelled()

    asyncio.run(main())


def test_a_thread_that_is_given_back_while_the_loop_ends_ends_too() -> None:
    """What tells it to is not taken from it, or the process would not end either."""
    before = set(threading.enumerate())
    kept: list[KeptThread] = []

    async def main() -> None:
        thread, entered, leave = KeptThread(), threading.Event(), threading.Event()
        kept.append(thread)

        def act() -> None:
            entered.set()
            leave.wait(LONG_S)

        acting = asyncio.create_task(thread.run(act))
        await asyncio.get_running_loop().run_in_executor(None, entered.wait, LONG_S)
        thread.end()
        thread._working.cancel()
        await turn_the_loop()
        leave.set()
        await acting

    asyncio.run(main())
    workers = set(threading.enumerate()) - before
    for worker in workers:
        worker.join(5)
    is_over = not any(worker.is_alive() for worker in workers)
    kept[0].end()
    assert is_over
