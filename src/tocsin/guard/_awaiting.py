"""A handler that is a coroutine and returns its answer, for frameworks that are handed a function."""

import asyncio
from collections.abc import Awaitable, Callable

from tocsin.guard._answer import Answer
from tocsin.guard._performing import Performing
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Refused, Returned, Run
from tocsin.guard._store import Tx


def performed(
    performing: Performing[Tx], handler: Callable[[Signed, Tx], Awaitable[Returned | Refused]]
) -> Awaitable[Answer]:
    """Answer a request on this task, applying it if it is the first of its kind: see performed_run."""
    return performed_run(performing, lambda run: handler(run.signed, run.granted.tx))


def never() -> "asyncio.Future[object]":
    """What `begin` listens to where the framework tells nobody that a client has gone, or cancels its request then."""
    return asyncio.get_running_loop().create_future()


async def performed_run(performing: Performing[Tx], handler: Callable[[Run], Awaitable[Returned | Refused]]) -> Answer:
    """Answer a request on this task, applying it if it is the first of its kind.

    Args:
        performing: of the request; closed at the end.
        handler: runs the developer's handler, in the granted claim's transaction.

    Raises:
        ClientGoneError: the client has gone while the request waited.
        BaseException: what the handler raised, after everything was rolled back.
    """
    try:
        answer = await performing.to_claim()
        # It runs again where its transaction was undone for the sake of another one.
        while answer is None:
            step = await performing.to_handler()
            answer = await _run(performing, step, handler) if isinstance(step, Run) else step
    finally:
        await performing.close()
    await performing.sweep()
    return answer


async def _run(
    performing: Performing[Tx], run: Run, handler: Callable[[Run], Awaitable[Returned | Refused]]
) -> Answer | None:
    try:
        ran = await handler(run)
    except BaseException as error:  # noqa: BLE001  raised again, unless the guard has an answer to it
        return await performing.raised(error)
    return await performing.returned(ran)
