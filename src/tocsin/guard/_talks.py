"""Performs a talk with a database, on a thread or in a task.

Rule: a talk never waits and never sends. It yields a step and is resumed with the step's reply, or with whatever the
step failed with. So whatever is decided about an answer is written once, and here is only who waits for it.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


def performed(talk: Generator[S, Any, T], perform: Callable[[S], object]) -> T:
    """Perform a talk's steps until it ends, on this thread."""
    try:
        step = next(talk)
        while True:
            try:
                reply = perform(step)
            except BaseException as error:  # noqa: BLE001  whatever it is, the talk gives back what it holds
                step = talk.throw(error)
            else:
                step = talk.send(reply)
    except StopIteration as end:
        ended: T = end.value
        return ended


async def performed_async(talk: Generator[S, Any, T], perform: Callable[[S], Awaitable[object]]) -> T:
    """Perform a talk's steps until it ends, in this task."""
    try:
        step = next(talk)
        while True:
            try:
                reply = await perform(step)
            except BaseException as error:  # noqa: BLE001  likewise; a cancellation too
                step = talk.throw(error)
            else:
                step = talk.send(reply)
    except StopIteration as end:
        ended: T = end.value
        return ended
