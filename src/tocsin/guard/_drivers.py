"""Performs the steps of a flow on the thread that received the request.

Rule: a driver adds nothing to the order of things. It keeps what a flow may not have: the clock of the waits, the
threads' queue for a key, the handler.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeAlias

from tocsin.guard._errors import StoreError
from tocsin.guard._flow import Ended
from tocsin.guard._signed import Signed
from tocsin.guard._steps import (
    Abandon,
    Conflicted,
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

# Transactions that conflicted once do so again if they start again together. The first pause is about as long as one of
# them; each one after it is up to twice as long as the one before.
_FIRST_PAUSE_S = 0.005


class BlockingDriver(Generic[Tx]):
    """Performs one flow.

    Args:
        store: where the claims are.
        in_flight: the keys that this process is applying; one for all drivers of a store.
        handler: what is guarded.
        wait_s: how long the request may wait in all: for another one with its key, and for other writers.
    """

    def __init__(self, store: Store[Tx], in_flight: InFlight, handler: Handler[Tx], wait_s: float) -> None:
        self._store = store
        self._in_flight = in_flight
        self._handler = handler
        self._wait_s = wait_s
        self._joined: bytes | None = None
        self._granted: Granted[Tx] | None = None

    def drive(self, flow: Flow[Ended | Raised]) -> Ended | Raised:
        """Perform the flow's steps until it ends."""
        try:
            return self._drive(flow)
        finally:
            # Only an exception from outside (a signal, a defect of ours) leaves a transaction behind.
            if self._granted is not None:
                self._granted.abandon()
            if self._joined is not None:
                self._in_flight.leave(self._joined)

    def _drive(self, flow: Flow[Ended | Raised]) -> Ended | Raised:
        try:
            step = next(flow)
            while True:
                try:
                    reply = self._perform(step)
                except StoreError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            ended: Ended | Raised = end.value
            return ended

    def _perform(self, step: Step[Any]) -> object:
        return self._PERFORMED_BY[type(step)](self, step)

    def _look(self, step: Look) -> Record | None:
        if step.is_hint and not self._store.declares.looks_first:
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
        with self._spending():
            return self._in_flight.wait(step.key, self._wait_s)

    def _take(self, step: Take) -> Granted[Tx] | Record | Forgotten:
        with self._spending():
            taken = self._store.take(step.claim, self._wait_s)
        if isinstance(taken, Granted):
            self._granted = taken
        return taken

    def _run(self, step: Run) -> Ran:
        try:
            ran: Ran = self._handler(step.signed, step.granted.tx)
        except Exception as error:  # noqa: BLE001  whatever it is, what the handler wrote must not stay
            if step.granted.conflicts(error):
                return Conflicted()
            return Raised(error, store_failed=self._store.is_own_failure(error))
        except BaseException as error:  # noqa: BLE001  likewise; and whoever stops the handler does not want it again
            return Raised(error, store_failed=False)
        return Conflicted() if step.granted.conflicts(None) else ran

    def _settle(self, step: Settle) -> None:
        self._granted = None
        step.granted.settle(step.answer)

    def _abandon(self, step: Abandon) -> None:
        self._granted = None
        step.granted.abandon()

    def _pause(self, step: Pause) -> None:
        sleep(random.uniform(0, _FIRST_PAUSE_S * 2**step.attempt))  # noqa: S311  jitter

    _PERFORMED_BY: ClassVar[Mapping[type[Step[Any]], Callable[[Any, Any], object]]] = MappingProxyType(
        {
            Look: _look,
            Join: _join,
            Wait: _wait,
            Take: _take,
            Run: _run,
            Settle: _settle,
            Abandon: _abandon,
            Pause: _pause,
        }
    )

    @contextmanager
    def _spending(self) -> Iterator[None]:
        """Take the time of a wait from what is left of wait_s."""
        started = monotonic()
        try:
            yield
        finally:
            self._wait_s = max(0.0, self._wait_s - (monotonic() - started))
