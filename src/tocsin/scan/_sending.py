"""The scanner's hands: everything that is sent, counted and covered by a budget before it is.

Rule: nothing is sent that no budget covers, and effects are reserved before they can happen.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tocsin.events import Event
from tocsin.scan._allowance import Allowance
from tocsin.scan._backoff import LIMITED_WAITS_S, limiter_wait_s
from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._errors import CannotTell, ServiceGone
from tocsin.scan._oracle import Reading
from tocsin.scan._plan import RequestTemplate
from tocsin.scan._statuses import LIMITED, UNHEARD
from tocsin.scan._styles import Rotation
from tocsin.scan.oracles import AnswerClasses
from tocsin.wire import (
    Address,
    Burst,
    Delivery,
    DeliveryError,
    Failure,
    Response,
    Style,
    deliver,
    exchange,
    exchanges,
    styles_of,
)

# A service that restarts under a supervisor is back within a second or two; longer silence is an answer too.
_RETRY_AFTER_S = (0.05, 0.2, 0.5, 1.0)
# Until enough answers have come to tell: what a small service on this machine takes.
_FIRST_PACE_S = 0.002
_ENOUGH_ANSWERS = 8
# How many requests whose order means nothing are under way at once: what one waits for, the next one uses.
SIDE_BY_SIDE = 6


@dataclass(slots=True, kw_only=True)
class Sending(Allowance):
    """One run's way to the service.

    Args:
        composer: renders and signs.
        addresses: where to connect for each origin, "" being base_url's.
        rng: decides orders; seeded, so that a rerun repeats them.
        emit: takes the events.
        gone: why nothing can be asked any more, or "".
        answers: what the answers so far have looked like.
        rotation: the release styles that the address has, and what bursts have shown of them so far.
    """

    composer: Composer
    addresses: Mapping[str, Address]
    rng: random.Random
    emit: Callable[[Event], None]
    gone: str = ""
    answers: AnswerClasses = field(default_factory=AnswerClasses)
    rotation: Rotation = field(init=False)
    _since_read: int = field(default=0, init=False)
    _settled: Reading | None = field(default=None, init=False)
    _turn: int = field(default=0, init=False)
    _answered: tuple[int, float] = field(default=(0, 0.0), init=False)
    _one_by_one: bool = field(default=False, init=False)

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
        self.spend()
        nodes = self._nodes()
        to = self.addresses[shot.origin] if shot.origin or not nodes else nodes[0]
        response = self._exchange(shot.raw, to, again=lambda _: False)
        self.answers.saw(response)
        return response

    def send_each(self, shots: Sequence[Shot]) -> list[Response | None]:
        """Requests whose order means nothing and none of which should be accepted, a few at a time; else as `send`.

        Whoever is turned away is sent again, alone: a service that minds company gets no more of it for the whole scan.
        """
        answers: list[Response | None] = []
        for first in range(0, len(shots), SIDE_BY_SIDE):
            few = shots[first : first + SIDE_BY_SIDE]
            alone = self._one_by_one or any(shot.origin for shot in few)
            answers += [self.send(shot) for shot in few] if alone else self._side_by_side(few)
        return answers

    def _side_by_side(self, shots: Sequence[Shot]) -> list[Response | None]:
        self._cover(effects=len(shots))
        self.spend(len(shots))
        to = (*self._nodes(), self.addresses[""])[0]
        try:
            outcomes = exchanges([shot.raw for shot in shots], to, timeout_s=self.timeout_s())
        except DeliveryError as error:
            raise self._has_gone(error) from None
        return [self._alone_if(shot, outcome) for shot, outcome in zip(shots, outcomes, strict=True)]

    def _alone_if(self, shot: Shot, outcome: Response | DeliveryError) -> Response | None:
        """An answer that was given in company; or another one, where that may have been for the company's sake."""
        if isinstance(outcome, DeliveryError):
            self._one_by_one = True
            return None if outcome.request_sent else self.send(shot)
        if outcome.status in LIMITED | UNHEARD:
            self._one_by_one = True
            return self.send(shot)
        self.answers.saw(outcome)
        return outcome

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
        self.spend(len(shots))
        burst = Burst(
            requests=tuple(shot.raw for shot in shots),
            labels=tuple(shot.label for shot in shots),
            hold_s=hold_s,
            timeout_s=self.timeout_s(),
            style=style,
            offsets_us=offsets_us,
        )
        try:
            delivery = deliver(burst, self.addresses[""], rng=self.rng, nodes=self._nodes())
        except DeliveryError as error:
            raise self._has_gone(error) from None
        named = self.plan.identity
        operations = [tuple(shot.draft.values.get(name) for name in named) for shot in shots]
        self.answers.saw_at_once(delivery.responses, operations)
        if delivery.gate_opened_ns is None:
            # Not one request was completed.
            self.spent.unread -= len(shots)
            self._since_read -= len(shots)
        return delivery

    def ask(self, request: RequestTemplate, draft: Draft) -> Response:
        """A read, a set-up, a teardown or a reset of the plan. A rate limiter is given the time that it asks for.

        Raises:
            BudgetEnded: no budget covers it.
            ServiceGone: it is not answered.
            CannotTell: neither is what changes the state, in time. It may be done all the same: it is not sent again.
        """
        if not any(request is state.request for state in self.plan.states()):
            self._settled = None
        for usual_s in LIMITED_WAITS_S:
            response = self._asked(request, draft)
            wait_s = limiter_wait_s(response, usual_s, now_unix=time.time())
            if response.status not in LIMITED or not self.has(wait_s):
                return response
            self.wait(wait_s)
        return self._asked(request, draft)

    def _asked(self, request: RequestTemplate, draft: Draft) -> Response:
        raw = self.composer.plain(request, draft, at=time.time())
        changes = (*(setup.request for setup in self.plan.setup), *self.plan.teardown, self.plan.reset)
        is_read = request not in changes
        self.spend()
        response = self._exchange(
            raw, self.addresses[request.origin], again=lambda error: is_read or error.kind is not Failure.TIMED_OUT
        )
        if response is None:
            raise CannotTell(f"{request} was not answered in time; it may be done, and is not sent again")
        return response

    def ask_few(self, some: Sequence[tuple[bytes, RequestTemplate]]) -> dict[bytes, Response]:
        """The answers to a few reads at a time, by their bytes; those that have to be asked alone are left out."""
        self.spend(len(some))
        to = self.addresses[some[0][1].origin]
        try:
            outcomes = exchanges([raw for raw, _ in some], to, timeout_s=self.timeout_s())
        except DeliveryError:
            outcomes = []
        good = {
            raw: outcome
            for (raw, _), outcome in zip(some, outcomes, strict=False)
            if isinstance(outcome, Response) and 200 <= outcome.status < 300  # noqa: PLR2004  RFC 9110 section 15.3
        }
        self._one_by_one = self._one_by_one or len(good) < len(some)
        return good

    def peek(self, request: RequestTemplate, draft: Draft) -> Response | None:
        """A read beside whatever else is sent, from any thread; None without an answer. Raises BudgetEnded."""
        raw = self.composer.plain(request, draft, at=time.time())
        self.spend()
        try:
            return exchange(raw, self.addresses[request.origin], timeout_s=self.timeout_s())
        except DeliveryError:
            return None

    @property
    def pace_s(self) -> float:
        """What a request takes, its answer included, on average so far."""
        answered, seconds = self._answered
        return seconds / answered if answered >= _ENOUGH_ANSWERS else _FIRST_PACE_S

    def _nodes(self) -> tuple[Address, ...]:
        """The plan's nodes, beginning with another one each time: where one connection is all, they take turns too."""
        nodes = tuple(self.addresses[node] for node in self.plan.nodes)
        self._turn += 1
        first = self._turn % len(nodes) if nodes else 0
        return nodes[first:] + nodes[:first]

    def _has_gone(self, error: DeliveryError) -> ServiceGone:
        self.gone = str(error)
        return ServiceGone(self.gone)

    def _cover(self, *, effects: int) -> None:
        self.reserve(effects)
        self._settled = None
        self._since_read += effects

    def _exchange(self, raw: bytes, address: Address, *, again: Callable[[DeliveryError], bool]) -> Response | None:
        """Send and receive; a service that refuses connections is asked again for a while: it may be restarting.

        Args:
            raw: the request.
            address: where to.
            again: whether it may be repeated although it was sent. If not, None is its answer.
        """
        for wait_s in (*_RETRY_AFTER_S, None):
            begun = time.monotonic()
            try:
                response = exchange(raw, address, timeout_s=self.timeout_s())
            except DeliveryError as error:
                if error.request_sent and not again(error):
                    return None
                if wait_s is None:
                    if error.kind is Failure.STREAM_REFUSED and not again(error):
                        return None  # the service is there, and refuses this request
                    raise self._has_gone(error) from None
            else:
                answered, seconds = self._answered
                self._answered = answered + 1, seconds + time.monotonic() - begun
                return response
            time.sleep(wait_s)
            self.spend()
        raise AssertionError("the last round returns or raises")
