"""A run's session with the service: what is sent is Sending's; here the state is read, and effects are told from it.

Rule: a check reaches the wire through a Session and in no other way.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tocsin.events import BurstCollected, Progressed
from tocsin.scan._compose import Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._oracle import Look, Reading, read_states
from tocsin.scan._plan import Answers, Source, State
from tocsin.scan._sending import SIDE_BY_SIDE, Sending
from tocsin.scan.oracles import Reader, read_endpoint
from tocsin.wire import Delivery, Response

# How long the state must stand still around a control and a hit: long enough for another client's write to show on a
# busy service, short enough to be asked for each time.
_IDLE_S = 0.3
# A control looks again for somebody else's writes when the last look is so long ago.
LOOK_AGAIN_S = 10.0
# From outside, the two look the same.
WHY_IT_MOVES: Final = "somebody else writes, or effects arrive later than settle_ms says"


@dataclass(slots=True, kw_only=True)
class Session(Sending):
    """One run's way to the service and to its state.

    Args:
        check: the id of the check that is asked.
        has_hit: whether that check has read, and confirmed, an effect too many.
        captured_is_spent: whether the plan's captured message has been accepted.
        left_standing: why [[teardown]] has not undone what was set up, or "".
        is_brought_back: whether the last [reset], if there is one, has been sent and answered.
        bug: the first that a check met.
        readers: the open oracles, for every state that is not asked of the service.
    """

    check: str = ""
    has_hit: bool = False
    captured_is_spent: bool = False
    left_standing: str = "not sent"
    is_brought_back: bool = False
    bug: Exception | None = None
    readers: Mapping[Source, Reader] = field(default_factory=dict)
    _idle_at: float = field(default=-math.inf, init=False)

    def look(self, state: State, draft: Draft) -> Decimal:
        """The number that an oracle shows."""
        if state.request is not None:
            return read_endpoint(state, self.ask(state.request, draft))
        if isinstance(state.source, Answers):
            return Decimal(self.answers.counted())
        return self.readers[state.source](state, {**draft.values, **self.composer.always})

    def read(self, drafts: Sequence[Draft], states: Sequence[State] = ()) -> Reading:
        """The state for these requests before a trial, by the plan's oracles or others.

        Raises:
            CannotTell: it cannot be read, or it has moved since the last trial was over.
        """
        looks = self._looked([(state, draft) for state in states or self.plan.state for draft in drafts])
        return self._as_settled(read_states(states or self.plan.state, drafts, looks))

    def read_each(self, drafts: Sequence[Sequence[Draft]]) -> list[Reading]:
        """The same for several trials, on resources of their own."""
        looks = self._looked([(state, draft) for of in drafts for state in self.plan.state for draft in of])
        return [self._as_settled(read_states(self.plan.state, of, looks)) for of in drafts]

    def _as_settled(self, reading: Reading) -> Reading:
        settled = self._settled
        if settled is not None and reading.moved_since(settled, self._varying()):
            raise CannotTell(f"the state moves while nothing is sent ({settled}; then {reading}): {WHY_IT_MOVES}")
        self._since_read = 0
        return reading

    def effects(self, drafts: Sequence[Draft], before: Reading) -> tuple[int, Reading]:
        """Effects since `before` and the state that shows them: the same oracles, read after settling, and counted."""
        [shown] = self.effects_each([drafts], [before])
        return shown

    def effects_each(self, drafts: Sequence[Sequence[Draft]], before: Sequence[Reading]) -> list[tuple[int, Reading]]:
        """The same for several trials that settle together, on resources of their own."""
        self.settle()
        pairs = list(zip(drafts, before, strict=True))
        looks = self._looked([(state, draft) for of, since in pairs for state in since.states for draft in of])
        return [self._effects(read_states(since.states, of, looks), since) for of, since in pairs]

    def _effects(self, after: Reading, before: Reading) -> tuple[int, Reading]:
        effects = after.effects_since(before)
        self.spent.effects += effects
        self.spent.unread -= self._since_read
        self._since_read = 0
        self._settled = after
        return effects, after

    def _looked(self, wanted: Sequence[tuple[State, Draft]]) -> Look:
        """A look at the states of several drafts, the questions for them asked side by side."""
        at = time.time()
        asked = {
            self.composer.plain(state.request, draft, at=at): state.request
            for state, draft in wanted
            if state.request is not None
        }
        origins = {request.origin for request in asked.values()}
        if len(asked) < 2 or len(origins) > 1 or self._one_by_one:  # noqa: PLR2004  it takes two to be side by side
            return self.look
        answers: dict[bytes, Response] = {}
        for first in range(0, len(asked), SIDE_BY_SIDE):
            answers |= self.ask_few(list(asked.items())[first : first + SIDE_BY_SIDE])

        def look(state: State, draft: Draft) -> Decimal:
            answer = answers.get(self.composer.plain(state.request, draft, at=at)) if state.request else None
            return self.look(state, draft) if answer is None else read_endpoint(state, answer)

        return look

    def assume(self, effects: int) -> None:
        """Count effects that may have happened, where nothing depends on how many there were and nothing is read."""
        self.spent.effects += effects
        self.spent.unread -= self._since_read
        self._since_read = 0

    def begin(self, check: str) -> None:
        """Another check is asked."""
        self.check, self.has_hit = check, False

    def keep_hit(self, interrupt: KeyboardInterrupt) -> None:
        """Let a check that has its hit conclude, and send nothing more. Raises the interrupt if there is no hit."""
        if not self.has_hit:
            raise interrupt
        self.ended = interrupt

    def settle(self) -> None:
        """Wait as long as an effect may take to arrive. Raises BudgetEnded if the run has less time."""
        self.wait_in_full(self.plan.settle_s)

    def idle(self, drafts: Sequence[Draft]) -> Reading:
        """Read twice, a while apart. Raises CannotTell if the state moves by itself."""
        first = self.read(drafts)
        self.wait_in_full(max(_IDLE_S, self.plan.settle_s))
        second = self.read(drafts)
        self._idle_at = time.monotonic()
        if first != second:
            raise CannotTell(f"the state moves while nothing is sent ({first}; then {second}): {WHY_IT_MOVES}")
        return second

    def at_rest(self, drafts: Sequence[Draft]) -> Reading:
        """The state before a control: looked at twice if that has not been done for a while, else once."""
        return self.idle(drafts) if time.monotonic() - self._idle_at > LOOK_AGAIN_S else self.read(drafts)

    def progressed(self, phase: str, done: int, total: int) -> None:
        """Tell how far the check is."""
        self.emit(Progressed(self.check, phase, done, total))

    def collected(self, delivery: Delivery, effects: int | None, void: str = "") -> None:
        """Tell what a burst did."""
        self.emit(BurstCollected(self.check, delivery.history, effects, void))

    def _varying(self) -> frozenset[str]:
        """The variables that can name another resource in each trial."""
        return self.plan.extracted.union(name for name, variable in self.plan.variables.items() if variable.fresh)
