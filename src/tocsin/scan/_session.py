"""The scanner's hands: send, read the state; every request counted, every budget kept.

Rule: nothing is sent that no budget covers, and effects are reserved before they can happen. A check reaches the wire
through a Session and in no other way.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tocsin.events import BurstCollected, Event, Progressed
from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._oracle import Reading, read_states
from tocsin.scan._plan import Plan, RequestTemplate
from tocsin.wire import Address, Burst, Delivery, DeliveryError, Response, deliver, exchange

# A service that restarts under a supervisor is back within a second or two; longer silence is an answer too.
_RETRY_AFTER_S = (0.05, 0.2, 0.5, 1.0)
_ANSWER_TIMEOUT_S = 10.0
# How long the state must stand still around a control and a hit: long enough for another client's write to show on a
# busy service, short enough to be asked for each time.
_IDLE_S = 0.3


@dataclass(slots=True)
class Spent:
    """What a scan has used so far."""

    requests: int = 0
    effects: int = 0


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
    """

    plan: Plan
    composer: Composer
    addresses: Mapping[str, Address]
    rng: random.Random
    emit: Callable[[Event], None]
    deadline: float
    check: str = ""
    spent: Spent = field(default_factory=Spent)

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
        return self._exchange(shot.raw, "", repeatable=False)

    def deliver(self, shots: Sequence[Shot], *, hold_s: float) -> Delivery:
        """A burst, delivered or void (see Delivery.void). Raises as send does."""
        self._cover(effects=len(shots))
        self._spend(len(shots))
        burst = Burst(
            requests=tuple(shot.raw for shot in shots),
            labels=tuple(shot.label for shot in shots),
            hold_s=hold_s,
            timeout_s=_ANSWER_TIMEOUT_S,
        )
        try:
            return deliver(burst, self.addresses[""], rng=self.rng)
        except DeliveryError as error:
            raise ServiceGone(str(error)) from None

    def ask(self, request: RequestTemplate, draft: Draft) -> Response:
        """A read, a set-up or a reset of the plan. Raises ServiceGone if it is not answered, BudgetEnded."""
        raw = self.composer.plain(request, draft, at=time.time())
        self._spend()
        response = self._exchange(raw, request.origin, repeatable=True)
        assert response is not None, "a repeatable request is answered, or the service is gone"
        return response

    def read(self, drafts: Sequence[Draft]) -> Reading:
        """The state as the plan's oracles show it for these requests. Raises CannotTell if it cannot be read."""
        return read_states(self.plan.state, drafts, self.ask)

    def effects(self, drafts: Sequence[Draft], before: Reading) -> tuple[int, Reading]:
        """Effects since `before` and the state that shows them, read after settling and counted."""
        self.settle()
        after = self.read(drafts)
        effects = after.effects_since(before)
        self.spent.effects += effects
        return effects, after

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

    def progressed(self, phase: str, done: int, total: int) -> None:
        """Tell how far the check is."""
        self.emit(Progressed(self.check, phase, done, total))

    def collected(self, delivery: Delivery, effects: int | None, void: str = "") -> None:
        """Tell what a burst did."""
        self.emit(BurstCollected(self.check, delivery.history, effects, void))

    def _cover(self, *, effects: int) -> None:
        """What may happen is covered before it can; what did happen is counted once it has been read."""
        budget = self.plan.budget.effects
        if self.spent.effects + effects > budget:
            raise BudgetEnded(f"the budget of {budget} effects is used up")

    def _spend(self, requests: int = 1) -> None:
        budget = self.plan.budget
        if self.spent.requests + requests > budget.requests:
            raise BudgetEnded(f"the budget of {budget.requests} requests is used up")
        if time.monotonic() > self.deadline:
            raise BudgetEnded(f"the budget of {budget.seconds:g} s is used up")
        self.spent.requests += requests

    def _exchange(self, raw: bytes, origin: str, *, repeatable: bool) -> Response | None:
        """Send and receive; a service that refuses connections is asked again for a while: it may be restarting."""
        for wait_s in (*_RETRY_AFTER_S, None):
            try:
                return exchange(raw, self.addresses[origin], timeout_s=_ANSWER_TIMEOUT_S)
            except DeliveryError as error:
                if error.request_sent and not repeatable:
                    return None
                if wait_s is None:
                    raise ServiceGone(str(error)) from None
            time.sleep(wait_s)
            self._spend()
        raise AssertionError("the last round returns or raises")
