"""Performs the steps of a flow on the task that received the request.

Rule: as for the blocking driver, nothing is added to the order of things. But a task cannot be called back into the
middle of a framework that is still running, so the framework drives: it is handed the flow's steps in three stretches,
up to the claim, from the claim to the handler, and from the handler's end to the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

from tocsin.guard._drivers import pause_s
from tocsin.guard._errors import StoreError
from tocsin.guard._flow import Ended
from tocsin.guard._judging import judged, judged_error
from tocsin.guard._steps import (
    Abandon,
    Advance,
    Flow,
    Join,
    Look,
    Pause,
    Raised,
    Refused,
    Returned,
    Run,
    Running,
    Settle,
    Step,
    Take,
    Wait,
    Waited,
)
from tocsin.guard._store import AsyncGranted, AsyncStore, Forgotten, Record, Tx
from tocsin.guard._waiting import InFlight

UpTo = TypeVar("UpTo", bound=Step[Any])


class ClientGoneError(Exception):
    """Whoever sent the request has gone while it waited for another one; nothing was begun."""


class AsyncDriver(Generic[Tx]):
    """Performs one flow; to be closed in any case.

    Args:
        flow: what to perform.
        store: where the claims are.
        in_flight: the keys that this process is applying, on threads and on tasks.
        wait_s: how long the request may wait in all: for another one with its key, and for other writers.
        gone: begins to listen; what it gives is done as soon as the client has gone.

    Attributes:
        wait_left_s: what is left of wait_s, in seconds.
    """

    __slots__ = ("_flow", "_gone", "_granted", "_in_flight", "_joined", "_next", "_ready", "_store", "wait_left_s")

    def __init__(
        self,
        flow: Flow[Ended | Raised],
        store: AsyncStore[Tx],
        in_flight: InFlight,
        wait_s: float,
        gone: "Callable[[], asyncio.Future[object]]",
    ) -> None:
        self._flow = flow
        self._store = store
        self._ready: Callable[[float], Awaitable[None] | None] | None = getattr(store, "ready_async", None)
        self._in_flight = in_flight
        self.wait_left_s = wait_s
        self._gone = gone
        self._next: Step[Any]
        self._joined: bytes | None = None
        self._granted: AsyncGranted[Tx] | None = None

    def to_claim(self) -> Awaitable[Ended | Raised | Take]:
        """Perform what comes before the claim, which is next then; only the key is held.

        Raises:
            ClientGoneError: the client has gone.
        """
        return self._perform(None, Take)

    def to_handler(self) -> Awaitable[Ended | Raised | Run]:
        """Take the claim; where it was granted, the handler is next."""
        return self._perform(None, Run, self._next)

    def returned(self, ran: Returned | Refused) -> Awaitable[Ended | Raised | Run]:
        """Go on after a handler that came to its end. Run: it has to run again, from `to_handler` on."""
        return self._perform(judged(ran, self._held()), Run)

    def raised(self, error: BaseException) -> Awaitable[Ended | Raised | Run]:
        """Go on after a handler that raised. Run: it has to run again, from `to_handler` on."""
        return self._perform(judged_error(error, self._held(), self._store), Run)

    async def close(self) -> None:
        """Give back whatever is still held: after a cancellation, or a request that never came to its handler."""
        granted, self._granted = self._granted, None
        try:
            if granted is not None:
                # Whatever ended the request says more than what becomes of the others in the transaction's group.
                with suppress(StoreError):
                    await granted.abandon_async()
        finally:
            self._leave()
            self._flow.close()

    async def _perform(self, reply: object, until: type[UpTo], step: Step[Any] | None = None) -> Ended | Raised | UpTo:
        """Resume the flow with a reply, or go on with a step that is known, up to a step of that type or to its end."""
        flow = self._flow
        try:
            if step is None:
                step = flow.send(reply)
            while type(step) is not until:
                try:
                    if type(step) is Join:
                        # It waits for nothing, and needs no coroutine of its own.
                        reply = self._join(step)
                    else:
                        performed = self._PERFORMED_BY[type(step)](self, step)
                        reply = None if performed is None else await performed
                except StoreError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            return self._over(end)
        self._next = step
        return step

    def _over(self, end: StopIteration) -> Ended | Raised:
        # Now, and not when the request is over: it may go on for long, and duplicates wait for nothing but this.
        self._leave()
        ended: Ended | Raised = end.value
        return ended

    def _leave(self) -> None:
        joined, self._joined = self._joined, None
        if joined is not None:
            self._in_flight.leave(joined)

    def _held(self) -> AsyncGranted[Tx]:
        assert self._granted is not None, "a handler runs in what was granted"
        return self._granted

    def _look(self, step: Look) -> Awaitable[Record | None] | None:
        if step.is_hint:
            if not self._store.declares.looks_first:
                return None
            ready = None if self._ready is None else self._ready(self.wait_left_s)
            if ready is not None:
                return self._look_later(step, ready)
            if not self._in_flight.has_met(step.key):
                return None
        return self._store.look_async(step.key)

    async def _look_later(self, step: Look, ready: Awaitable[None]) -> Record | None:
        """Nothing but the body is held yet; and what is looked for is found with less trouble."""
        started = monotonic()
        try:
            await ready
        finally:
            self._spend(started)
        return await self._store.look_async(step.key) if self._in_flight.has_met(step.key) else None

    def _join(self, step: Join) -> Running | None:
        if self._joined is not None or self._store.is_inside_async():
            return None
        running = self._in_flight.join(step.key, step.fingerprint)
        if running is None:
            self._joined = step.key
        return running

    async def _wait(self, step: Wait) -> Waited:
        started, gone = monotonic(), self._gone()
        try:
            waited = await self._in_flight.wait_async(step.key, self.wait_left_s, gone)
            if waited is Waited.TIMED_OUT and gone.done():
                raise ClientGoneError
            return waited
        finally:
            self._spend(started)
            gone.cancel()

    async def _take(self, step: Take) -> AsyncGranted[Tx] | Record | Forgotten:
        started = monotonic()
        try:
            taken = await self._store.take_async(step.claim, self.wait_left_s)
        finally:
            self._spend(started)
        # Not whether it is an AsyncGranted: to ask that of an abstract class takes ten times as long.
        if not isinstance(taken, (Record, Forgotten)):
            self._granted = taken
        return taken

    async def _advance(self, _step: Advance) -> bool:
        started = monotonic()
        try:
            return await self._held().advance_async(self.wait_left_s)
        finally:
            self._spend(started)

    def _settle(self, step: Settle) -> Awaitable[None]:
        granted = self._held()
        self._granted = None
        return granted.settle_async(step.answer)

    def _abandon(self, _step: Abandon) -> Awaitable[None]:
        granted = self._held()
        self._granted = None
        return granted.abandon_async()

    def _pause(self, step: Pause) -> Awaitable[None]:
        return asyncio.sleep(pause_s(step.attempt))

    _PERFORMED_BY: ClassVar[Mapping[type[Step[Any]], Callable[[Any, Any], Awaitable[object] | None]]] = (
        MappingProxyType(
            {
                Look: _look,
                Wait: _wait,
                Take: _take,
                Advance: _advance,
                Settle: _settle,
                Abandon: _abandon,
                Pause: _pause,
            }
        )
    )

    def _spend(self, since: float) -> None:
        """Take the time of a wait from what is left of wait_s."""
        self.wait_left_s = max(0.0, self.wait_left_s - (monotonic() - since))
