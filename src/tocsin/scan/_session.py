"""The scanner's hands: send, read the state; every request counted, every budget kept.

Rule: nothing is sent that no budget covers, and effects are reserved before they can happen. A check reaches the wire
through a Session and in no other way.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tocsin.events import BurstCollected, Event, Progressed
from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._oracle import Reading, read_states
from tocsin.scan._plan import Answers, Plan, RequestTemplate, Source, State
from tocsin.scan._styles import Rotation
from tocsin.scan.oracles import AnswerClasses, Reader, read_endpoint
from tocsin.wire import Address, Burst, Delivery, DeliveryError, Failure, Response, Style, deliver, exchange, styles_of

# A service that restarts under a supervisor is back within a second or two; longer silence is an answer too.
_RETRY_AFTER_S = (0.05, 0.2, 0.5, 1.0)
_ANSWER_TIMEOUT_S = 10.0
# At the very end of a scan's seconds, an answer gets this long all the same.
_LEAST_TIMEOUT_S = 1.0
# Until enough answers have come to tell: what a small service on this machine takes.
_FIRST_PACE_S = 0.002
_ENOUGH_ANSWERS = 20
# How long the state must stand still around a control and a hit: long enough for another client's write to show on a
# busy service, short enough to be asked for each time.
_IDLE_S = 0.3
# A control looks again for somebody else's writes when the last look is so long ago.
_LOOK_AGAIN_S = 10.0


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
        captured_is_spent: whether the plan's captured message has been accepted.
        owed: how many requests are kept for the plan's [[teardown]].
        left_standing: why [[teardown]] has not undone what was set up, or "".
        readers: the open oracles, for every state that is not asked of the service.
        answers: what the answers so far have looked like.
        rotation: the release styles that the address has, and what bursts have shown of them so far.
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
    captured_is_spent: bool = False
    owed: int = 0
    left_standing: str = "not sent"
    readers: Mapping[Source, Reader] = field(default_factory=dict)
    answers: AnswerClasses = field(default_factory=AnswerClasses)
    rotation: Rotation = field(init=False)
    _since_read: int = field(default=0, init=False)
    _settled: Reading | None = field(default=None, init=False)
    _turn: int = field(default=0, init=False)
    _wound_down: bool = field(default=False, init=False)
    _idle_at: float = field(default=-math.inf, init=False)
    _answered: tuple[int, float] = field(default=(0, 0.0), init=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.rotation = Rotation.of(styles_of(self.addresses[""]))

    @property
    def usual_style(self) -> Style:
        """What `deliver` takes where nobody says how the members are held back."""
        return styles_of(self.addresses[""])[0]

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
        nodes = self._nodes()
        to = self.addresses[shot.origin] if shot.origin or not nodes else nodes[0]
        response = self._exchange(shot.raw, to, repeatable=False)
        self.answers.saw(response)
        return response

    def deliver(
        self, shots: Sequence[Shot], *, hold_s: float, style: Style | None = None, offsets_us: tuple[int, ...] = ()
    ) -> Delivery:
        """A burst, delivered or void (see Delivery.void). Raises as send does.

        Args:
            shots: the members.
            hold_s: how long they are parked before the gate opens.
            style: how they are held back; by default as is usual for the protocol.
            offsets_us: when each leaves once the gate has opened; by default all at once.
        """
        self._cover(effects=len(shots))
        self._spend(len(shots))
        burst = Burst(
            requests=tuple(shot.raw for shot in shots),
            labels=tuple(shot.label for shot in shots),
            hold_s=hold_s,
            timeout_s=self._timeout_s(),
            style=style,
            offsets_us=offsets_us,
        )
        try:
            delivery = deliver(burst, self.addresses[""], rng=self.rng, nodes=self._nodes())
        except DeliveryError as error:
            raise self._has_gone(error) from None
        for response in delivery.responses:
            self.answers.saw(response)
        if delivery.gate_opened_ns is None:
            # Not one request was completed.
            self.spent.unread -= len(shots)
            self._since_read -= len(shots)
        return delivery

    def ask(self, request: RequestTemplate, draft: Draft) -> Response:
        """A read, a set-up or a reset of the plan. Raises ServiceGone if it is not answered, BudgetEnded."""
        raw = self.composer.plain(request, draft, at=time.time())
        if not any(request is state.request for state in self.plan.states()):
            self._settled = None
        self._spend()
        response = self._exchange(raw, self.addresses[request.origin], repeatable=True)
        assert response is not None, "a repeatable request is answered, or the service is gone"
        return response

    def peek(self, request: RequestTemplate, draft: Draft) -> Response | None:
        """A read beside whatever else is sent, from any thread; None without an answer. Raises BudgetEnded."""
        raw = self.composer.plain(request, draft, at=time.time())
        self._spend()
        try:
            return exchange(raw, self.addresses[request.origin], timeout_s=self._timeout_s())
        except DeliveryError:
            return None

    def look(self, state: State, draft: Draft) -> Decimal:
        """The number that an oracle shows."""
        if state.request is not None:
            return read_endpoint(state, self.ask(state.request, draft))
        if isinstance(state.source, Answers):
            return Decimal(self.answers.seen)
        return self.readers[state.source](state, {**draft.values, **self.composer.always})

    def read(self, drafts: Sequence[Draft], states: Sequence[State] = ()) -> Reading:
        """The state for these requests before a trial, by the plan's oracles or others.

        Raises:
            CannotTell: it cannot be read, or it has moved since the last trial was over.
        """
        reading = read_states(states or self.plan.state, drafts, self.look)
        settled = self._settled
        if settled is not None and reading.moved_since(settled, self._varying()):
            raise CannotTell(
                f"the state moves while nothing is sent ({settled}; then {reading}): "
                "somebody else writes, or effects arrive later than settle_ms says"
            )
        self._since_read = 0
        return reading

    def effects(self, drafts: Sequence[Draft], before: Reading, *, is_settled: bool = False) -> tuple[int, Reading]:
        """Effects since `before` and the state that shows them: the same oracles, read after settling, and counted."""
        if not is_settled:
            self.settle()
        after = read_states(before.states, drafts, self.look)
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
        self._idle_at = time.monotonic()
        if first != second:
            raise CannotTell(f"the state moves while nothing is sent ({first}; then {second}): somebody else writes")
        return second

    def at_rest(self, drafts: Sequence[Draft]) -> Reading:
        """The state before a control: looked at twice if that has not been done for a while, else once."""
        return self.idle(drafts) if time.monotonic() - self._idle_at > _LOOK_AGAIN_S else self.read(drafts)

    @property
    def pace_s(self) -> float:
        """What a request takes, its answer included, on average so far."""
        answered, seconds = self._answered
        return seconds / answered if answered >= _ENOUGH_ANSWERS else _FIRST_PACE_S

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

    def _nodes(self) -> tuple[Address, ...]:
        """The plan's nodes, beginning with another one each time: where one connection is all, they take turns too."""
        nodes = tuple(self.addresses[node] for node in self.plan.nodes)
        self._turn += 1
        first = self._turn % len(nodes) if nodes else 0
        return nodes[first:] + nodes[:first]

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
        kept = 0 if self._wound_down else self.owed + (self.plan.reset is not None)
        with self._counting:
            if self.spent.requests + requests > budget.requests - kept:
                raise BudgetEnded(f"the budget of {budget.requests} requests is used up")
            if time.monotonic() > self.deadline:
                raise BudgetEnded(f"the budget of {budget.seconds:g} s is used up")
            self.spent.requests += requests

    def _exchange(self, raw: bytes, address: Address, *, repeatable: bool) -> Response | None:
        """Send and receive; a service that refuses connections is asked again for a while: it may be restarting."""
        for wait_s in (*_RETRY_AFTER_S, None):
            begun = time.monotonic()
            try:
                response = exchange(raw, address, timeout_s=self._timeout_s())
            except DeliveryError as error:
                if error.request_sent and not repeatable:
                    return None
                if wait_s is None:
                    if error.kind is Failure.STREAM_REFUSED and not repeatable:
                        return None  # the service is there, and refuses this request
                    raise self._has_gone(error) from None
            else:
                answered, seconds = self._answered
                self._answered = answered + 1, seconds + time.monotonic() - begun
                return response
            time.sleep(wait_s)
            self._spend()
        raise AssertionError("the last round returns or raises")
