"""What is waited for to its end, whoever cancels the task that waits: a thread, a task, another's COMMIT."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest

from tests.guard.task_shop import LONG_S
from tocsin.guard._shielded import shielded
from tocsin.guard._sleepers import SleepingTask
from tocsin.guard._threads import KeptThread

TURNS = 100
Wait = tuple[Callable[[], Awaitable[object]], Callable[[], object]]


class Counted(asyncio.Task[Any]):
    """A task that counts how often it is cancelled."""

    cancels = 0

    def cancel(self, msg: Any = None) -> bool:
        self.cancels += 1
        return super().cancel(msg)


async def turn_the_loop() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def for_a_thread() -> Wait:
    thread, leave = KeptThread(), threading.Event()

    def release() -> None:
        leave.set()
        thread.end()

    return partial(thread.run, partial(leave.wait, LONG_S)), release


def for_a_task() -> Wait:
    leave = asyncio.Event()
    return lambda: shielded(leave.wait()), leave.set


def for_a_group() -> Wait:
    sleeper = SleepingTask()
    return sleeper.sleep_on, sleeper.wake


@pytest.mark.parametrize("waiting_for", [for_a_thread, for_a_task, for_a_group])
def test_a_task_in_a_cancelled_scope_of_anyios_waits_at_rest(waiting_for: Callable[[], Wait]) -> None:
    """The scope would cancel it at every turn of the loop, and so keep the loop turning until the wait is over."""

    async def waits(wait: Callable[[], Awaitable[object]]) -> bool:
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await wait()
            await asyncio.sleep(0)
        return scope.cancelled_caught

    async def main() -> None:
        wait, release = waiting_for()
        waiting = Counted(waits(wait), loop=asyncio.get_running_loop())
        await turn_the_loop()
        assert not waiting.done()
        release()
        assert await waiting
        assert waiting.cancels < TURNS // 10

    asyncio.run(main())
