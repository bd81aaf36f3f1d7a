"""Waits for what may not be cut short.

Rule: what has been begun is waited for. A task that is cancelled meanwhile is cancelled when that has ended; or, where
it has to learn how it ended, at its next await.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tocsin.guard._sleepers import cancel_later, shielded_from

T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """What it returns or raises, in a task of its own, even to a task that is cancelled."""
    task, put_off = await finished(work)
    if put_off is not None:
        cancel_later(put_off)
    return task.result()


async def unless_cancelled(work: Coroutine[Any, Any, T]) -> T:
    """What it returns or raises; to a task that is cancelled meanwhile its cancellation, when the work has ended."""
    task, cancelled = await finished(work)
    if cancelled is not None:
        # What it raised is told by whoever looks at what is left.
        task.exception()
        raise cancelled
    return task.result()


async def finished(work: Coroutine[Any, Any, T]) -> tuple[asyncio.Task[T], asyncio.CancelledError | None]:
    """Do it to its end, in a task of its own; and by what this task was cancelled meanwhile, which it is not yet."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            with shielded_from(cancelled):
                await asyncio.wait([task])
        except asyncio.CancelledError as error:
            # This very one is raised later: whoever cancelled the task knows it by its arguments.
            cancelled = error
    return task, cancelled
