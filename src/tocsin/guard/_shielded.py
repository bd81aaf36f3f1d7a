"""Waits for what may not be cut short.

Rule: what has been begun is waited for. A task that is cancelled meanwhile learns how it ended, and is cancelled at its
next await.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tocsin.guard._sleepers import cancel_later

T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """What it returns or raises, in a task of its own, even to a task that is cancelled."""
    task = asyncio.create_task(work)
    put_off: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as cancelled:
            put_off = cancelled
    if put_off is not None:
        cancel_later(put_off)
    return task.result()
