"""Performs the steps of a flow on the thread that received the request.

Rule: a driver adds nothing to the order of things. It keeps what a flow may not have: the clock of the waits, the
threads' queue for a key, the handler.
"""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeAlias

from tocsin.guard._errors import StoreError
from tocsin.guard._flow import Ended
from tocsin.guard._judging import judged, judged_error
from tocsin.guard._signed import Signed
from tocsin.guard._steps import (
    Abandon,
    Advance,
    Flow,
    Join,
    Look,
    Pause,
    Raised,
    Ran,
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
from tocsin.guard._store import Forgotten, Granted, Record, Store, Tx
from tocsin.guard._waiting import InFlight

# What an adapter makes of a handler: runs it, and renders what it returned or, of its framework's errors, raised.
Handler: TypeAlias = Callable[[Signed, Tx], Returned | Refused]

_NOT_GRANTED = (Record, Forgotten)
# Transactions that conflicted once do so again if they start again together. The first pause is about as long as one of
# them; each one after it is up to twice as long as the one before.
_FIRST_PAUSE_S = 0.005


def pause_s(attempt: int) -> float:
    """How long to let other transactions go on, in seconds.

    Args:
        attempt: 1 before the second run.
    """
    return random.uniform(0, _FIRST_PAUSE_S * 2**attempt)  # noqa: S311  jitter


class BlockingDriver(Generic[Tx]):
    """Performs one flow.

    Args:
        store: where the claims are.
        in_flight: the keys that this process is applying; one for all drivers of a guard.
        handler: what is guarded.
        wait_s: how long the request may wait in all: for another one with its key, and for other writers.

    Attributes:
        wait_left_s: what is left of that, in seconds.
    """

    __slots__ = ("_granted", "_handler", "_in_flight", "_joined", "_store", "wait_left_s")

    def __init__(self, store: Store[Tx], in_flight: InFlight, handler: Handler[Tx], wait_s: float) -> None:
        self._store = store
        self._in_flight = in_flight
        self._handler = handler
        self.wait_left_s = wait_s
        self._joined: bytes | None = None
        self._granted: Granted[Tx] | None = None

    def drive(self, flow: Flow[Ended | Raised]) -> Ended | Raised:
        """Perform the flow's steps until it ends."""
        performed_by = self._PERFORMED_BY
        try:
            step = next(flow)
            while True:
                try:
                    reply = performed_by[type(step)](self, step)
                except StoreError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            ended: Ended | Raised = end.value
            return ended
        finally:
            # Only an exception from outside (a signal, a defect of ours) leaves a transaction behind; it says more than
            # what becomes of the others in the transaction's group.
            if self._granted is not None:
                with suppress(StoreError):
                    self._granted.abandon()
            if self._joined is not None:
                self._in_flight.leave(self._joined)

    def _look(self, step: Look) -> Record | None:
        if step.is_hint and not (self._store.declares.looks_first and self._in_flight.has_met(step.key)):
            return None
        return self._store.look(step.key)

    def _join(self, step: Join) -> Running | None:
        if self._joined is not None or self._store.is_inside():
            return None
        running = self._in_flight.join(step.key, step.fingerprint)
        if running is None:
            self._joined = step.key
        return running

    def _wait(self, step: Wait) -> Waited:
        started = monotonic()
        try:
            return self._in_flight.wait(step.key, self.wait_left_s)
        finally:
            self._spend(started)

    def _take(self, step: Take) -> Granted[Tx] | Record | Forgotten:
        started = monotonic()
        try:
            taken = self._store.take(step.claim, self.wait_left_s)
        finally:
            # `_spend`, written out for every request.
            self.wait_left_s = max(0.0, self.wait_left_s - (monotonic() - started))
        # Not asked whether it is Granted: of an abstract class that costs several times as much.
        if not isinstance(taken, _NOT_GRANTED):
            self._granted = taken
        return taken

    def _advance(self, _step: Advance) -> bool:
        assert self._granted is not None, "a flow moves the stream of what it was granted"
        started = monotonic()
        try:
            return self._granted.advance(self.wait_left_s)
        finally:
            self._spend(started)

    def _run(self, step: Run) -> Ran:
        try:
            ran = self._handler(step.signed, step.granted.tx)
        except BaseException as error:  # noqa: BLE001  whatever it is, what the handler wrote must not stay
            return judged_error(error, step.granted, self._store)
        return judged(ran, step.granted)

    def _settle(self, step: Settle) -> None:
        granted, self._granted = self._granted, None
        assert granted is not None, "a flow settles what it was granted"
        granted.settle(step.answer)

    def _abandon(self, _step: Abandon) -> None:
        granted, self._granted = self._granted, None
        assert granted is not None, "a flow abandons what it was granted"
        granted.abandon()

    def _pause(self, step: Pause) -> None:
        sleep(pause_s(step.attempt))

    _PERFORMED_BY: ClassVar[Mapping[type[Step[Any]], Callable[[Any, Any], object]]] = MappingProxyType(
        {
            Look: _look,
            Join: _join,
            Wait: _wait,
            Take: _take,
            Advance: _advance,
            Run: _run,
            Settle: _settle,
            Abandon: _abandon,
            Pause: _pause,
        }
    )

    def _spend(self, since: float) -> None:
        """Take the time of a wait from what is left of wait_s."""
        self.wait_left_s = max(0.0, self.wait_left_s - (monotonic() - since))
