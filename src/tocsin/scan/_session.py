"""The scanner's hands: send, read the state; every request counted, every budget kept.

Rule: nothing is sent that no budget covers, and effects are reserved before they can happen. A check reaches the wire
through a Session and in no other way.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tocsin.events import BurstCollected, Event, Progressed
from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._oracle import Reading, read_states
from tocsin.scan._plan import Plan, RequestTemplate, State
from tocsin.wire import Address, Burst, Delivery, DeliveryError, Response, deliver, exchange

# A service that restarts under a supervisor is back within a second or two; longer silence is an answer too.
_RETRY_AFTER_S = (0.05, 0.2, 0.5, 1.0)
_ANSWER_TIMEOUT_S = 10.0
# At the very end of a scan's seconds, an answer gets this long all the same.
_LEAST_TIMEOUT_S = 1.0
# How long the state must stand still around a control and a hit: long enough for another client's write to show on a
# busy service, short enough to be asked for each time.
_IDLE_S = 0.3


@dataclass(slots=True)
class Spent:
    """What a scan has used so far. Of what was sent and not read yet, or never, every request may be an effect."""

    requests: int = 0
    effects: int = 0
    unread: int = 0


@dataclass(slots=True)
class Session:
    """One run's way to the service.

    Args:
        plan: what is scanned.
        composer: renders and signs.
        addresses: where to connect for each origin, "" being base_url's.
        rng: decides orders; seeded, so that a rerun repeats them.
        emit: takes the events.
        deadline: monotonic time at which the run's seconds are over.
        check: the id of the check that is asked.
        spent: what has been used.
        gone: why nothing can be asked any more, or "".
    """

    plan: Plan
    composer: Composer
    addresses: Mapping[str, Address]
    rng: random.Random
    emit: Callable[[Event], None]
    deadline: float
    check: str = ""
    spent: Spent = field(default_factory=Spent)
    gone: str = ""
    _since_read: int = field(default=0, init=False)
    _settled: Reading | None = field(default=None, init=False)
    _wound_down: bool = field(default=False, init=False)

    def shot(self, draft: Draft, *, at: float | None = None) -> Shot:
        """The plan's request, signed at an instant (Unix seconds; default: now)."""
        return self.composer.shot(draft, at=time.time() if at is None else at)

    def send(self, shot: Shot) -> Response | None:
        """One request on a new connection; None if it ended without an answer.

        Raises:
            BudgetEnded: no budget covers it.
            ServiceGone: nothing listens any more.
        """
        self._cover(effects=1)
        self._spend()
        return self._exchange(shot.raw, shot.origin, repeatable=False)

    def deliver(self, shots: Sequence[Shot], *, hold_s: float) -> Delivery:
        """A burst, delivered or void (see Delivery.void). Raises as send does."""
        self._cover(effects=len(shots))
        self._spend(len(shots))
        burst = Burst(
            requests=tuple(shot.raw for shot in shots),
            labels=tuple(shot.label for shot in shots),
            hold_s=hold_s,
            timeout_s=self._timeout_s(),
        )
        try:
            delivery = deliver(burst, self.addresses[""], rng=self.rng)
        except DeliveryError as error:
            raise self._has_gone(error) from None
        if delivery.gate_opened_ns is None:
            # Not one request was completed.
            self.spent.unread -= len(shots)
            self._since_read -= len(shots)
        return delivery

    def ask(self, request: RequestTemplate, draft: Draft) -> Response:
        """A read, a set-up or a reset of the plan. Raises ServiceGone if it is not answered, BudgetEnded."""
        raw = self.composer.plain(request, draft, at=time.time())
        if not any(request is state.request for state in self.plan.state):
            self._settled = None
        self._spend()
        response = self._exchange(raw, request.origin, repeatable=True)
        assert response is not None, "a repeatable request is answered, or the service is gone"
        return response

    def read(self, drafts: Sequence[Draft], states: Sequence[State] = ()) -> Reading:
        """The state for these requests before a trial, by the plan's oracles or others.

        Raises:
            CannotTell: it cannot be read, or it has moved since the last trial was over.
        """
        reading = read_states(states or self.plan.state, drafts, self.ask)
        settled = self._settled
        if settled is not None and reading.moved_since(settled, self._varying()):
            raise CannotTell(
                f"the state moves while nothing is sent ({settled}; then {reading}): "
                "somebody else writes, or effects arrive later than settle_ms says"
            )
        self._since_read = 0
        return reading

    def effects(self, drafts: Sequence[Draft], before: Reading) -> tuple[int, Reading]:
        """Effects since `before` and the state that shows them: the same oracles, read after settling, and counted."""
        self.settle()
        after = read_states(before.states, drafts, self.ask)
        effects = after.effects_since(before)
        self.spent.effects += effects
        self.spent.unread -= self._since_read
        self._since_read = 0
        self._settled = after
        return effects, after

    def assume(self, effects: int) -> None:
        """Count effects that may have happened, where nothing depends on how many there were and nothing is read."""
        self.spent.effects += effects
        self.spent.unread -= self._since_read
        self._since_read = 0

    def settle(self) -> None:
        """Wait as long as an effect may take to arrive."""
        time.sleep(self.plan.settle_s)

    def idle(self, drafts: Sequence[Draft]) -> Reading:
        """Read twice, a while apart. Raises CannotTell if the state moves by itself."""
        first = self.read(drafts)
        time.sleep(max(_IDLE_S, self.plan.settle_s))
        second = self.read(drafts)
        if first != second:
            raise CannotTell(f"the state moves while nothing is sent ({first}; then {second}): somebody else writes")
        return second

    def wait(self, seconds: float) -> None:
        """Let time pass, within the run's seconds."""
        time.sleep(max(0.0, min(seconds, self.deadline - time.monotonic())))

    def wind_down(self) -> None:
        """Only the last reset is still to come: whatever the time is, and a request has been kept for it."""
        self.deadline = math.inf
        self._wound_down = True

    def progressed(self, phase: str, done: int, total: int) -> None:
        """Tell how far the check is."""
        self.emit(Progressed(self.check, phase, done, total))

    def collected(self, delivery: Delivery, effects: int | None, void: str = "") -> None:
        """Tell what a burst did."""
        self.emit(BurstCollected(self.check, delivery.history, effects, void))

    def _varying(self) -> frozenset[str]:
        """The variables that can name another resource in each trial."""
        return self.plan.extracted.union(name for name, variable in self.plan.variables.items() if variable.fresh)

    def _timeout_s(self) -> float:
        return min(_ANSWER_TIMEOUT_S, max(_LEAST_TIMEOUT_S, self.deadline - time.monotonic()))

    def _has_gone(self, error: DeliveryError) -> ServiceGone:
        self.gone = str(error)
        return ServiceGone(self.gone)

    def _cover(self, *, effects: int) -> None:
        """What may happen is reserved before it can; reading what did happen gives back the rest."""
        budget, spent = self.plan.budget.effects, self.spent
        if spent.effects + spent.unread + effects > budget:
            unread = f" and {spent.unread} that may have happened" if spent.unread else ""
            raise BudgetEnded(
                f"the budget of {budget} effects does not cover {effects} more, beside {spent.effects} that were "
                f"read{unread}"
            )
        self._settled = None
        self._since_read += effects
        spent.unread += effects

    def _spend(self, requests: int = 1) -> None:
        budget = self.plan.budget
        kept = 0 if self._wound_down or self.plan.reset is None else 1
        if self.spent.requests + requests > budget.requests - kept:
            raise BudgetEnded(f"the budget of {budget.requests} requests is used up")
        if time.monotonic() > self.deadline:
            raise BudgetEnded(f"the budget of {budget.seconds:g} s is used up")
        self.spent.requests += requests

    def _exchange(self, raw: bytes, origin: str, *, repeatable: bool) -> Response | None:
        """Send and receive; a service that refuses connections is asked again for a while: it may be restarting."""
        for wait_s in (*_RETRY_AFTER_S, None):
            try:
                return exchange(raw, self.addresses[origin], timeout_s=self._timeout_s())
            except DeliveryError as error:
                if error.request_sent and not repeatable:
                    return None
                if wait_s is None:
                    raise self._has_gone(error) from None
            time.sleep(wait_s)
            self._spend()
        raise AssertionError("the last round returns or raises")
