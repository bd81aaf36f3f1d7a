"""Effects, as the state shows them. PURE.

Rule: an effect is (state after - state before) / per_effect; with several oracles, the largest (checks.md, "Effect").
What is not a whole number of at least 0 is not an effect, and nobody guesses what it is.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tocsin.scan._coding import coded
from tocsin.scan._compose import Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._number import difference, total
from tocsin.scan._plan import RequestTemplate, State
from tocsin.signing import PointerError, parse_json, resolve
from tocsin.wire import Response

Look = Callable[[State, Draft], Decimal]


@dataclass(frozen=True, slots=True)
class Reading:
    """What every oracle showed at one moment."""

    states: tuple[State, ...]
    values: tuple[Decimal, ...]

    def effects_since(self, before: "Reading") -> int:
        """How many effects lie between. Raises CannotTell if a state moved as no effects would."""
        most = Decimal(0)
        for state, old, new in zip(self.states, before.values, self.values, strict=True):
            effects = difference(new, old) / state.per_effect
            if effects < 0 or effects != effects.to_integral_value():
                raise CannotTell(
                    f"[[state]] {state.name} went from {old:f} to {new:f}, {effects:f} effects of "
                    f"{state.per_effect:f}: wanted a whole number of at least 0 (is per_effect right? does somebody "
                    "else write?)"
                )
            most = max(most, effects)
        return int(most)

    def moved_since(self, before: "Reading", varying: Collection[str]) -> bool:
        """Whether a state that both readings show has another value.

        Args:
            before: read earlier, perhaps for another trial.
            varying: the variables that can name another resource in each trial.
        """
        return self.states == before.states and any(
            old != new and state.names.isdisjoint(varying)
            for state, old, new in zip(self.states, before.values, self.values, strict=True)
        )

    def effects_above(self, floor: int) -> int | None:
        """How many effects fit before a state that effects lower reaches the floor; None if there is no such state."""
        fitting = [
            int(difference(Decimal(floor), value) / state.per_effect)
            for state, value in zip(self.states, self.values, strict=True)
            if state.per_effect < 0
        ]
        return min(fitting, default=None)

    def below(self, floor: int) -> bool:
        """Whether a state that effects lower has gone below its floor."""
        return any(
            state.per_effect < 0 and difference(value, Decimal(floor)) < 0
            for state, value in zip(self.states, self.values, strict=True)
        )

    def __str__(self) -> str:
        return ", ".join(f"{state.name} = {value:f}" for state, value in zip(self.states, self.values, strict=True))


def read_states(states: Sequence[State], drafts: Iterable[Draft], look: Look) -> Reading:
    """Look at every oracle. States that the drafts of a trial have of their own (GET /orders/{{uuid}}) are summed."""
    drafts = list(drafts)
    return Reading(tuple(states), tuple(_summed(state, drafts, look) for state in states))


def extracted(response: Response, pointer: str, request: RequestTemplate) -> str:
    """A variable from an answer: a string or a number at a JSON pointer. Raises CannotTell."""
    try:
        found = resolve(parse_json(response.body), pointer)
    except PointerError:
        raise CannotTell(f'the answer to {request} has nothing at "{pointer}"{coded(response)}') from None
    if isinstance(found, bool) or not isinstance(found, (str, int, float)):
        raise CannotTell(f'the answer to {request} has no string or number at "{pointer}"')
    text = str(found)
    if not text.isprintable():
        raise CannotTell(f'the answer to {request} has a text at "{pointer}" that no request can hold')
    return text


def _summed(state: State, drafts: Sequence[Draft], look: Look) -> Decimal:
    names = state.names
    distinct = {tuple(draft.values.get(name) for name in sorted(names)): draft for draft in drafts}
    return total(look(state, draft) for draft in distinct.values())
