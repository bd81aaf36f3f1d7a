"""Whether a recorded history fits a sequential model: the search of Wing and Gong, with a memory.

Rule: an effect may fall anywhere between the send of a request and its answer plus the time that effects may take;
without an answer, anywhere after the send. Requests that are equal in the model are tried in one order only. PURE.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from tocsin.history import History

S = TypeVar("S", bound=Hashable)
IsSuccess: TypeAlias = Callable[[int | None], bool]
Step: TypeAlias = Callable[[int], list[int]]


@dataclass(frozen=True, slots=True)
class Call(Generic[S]):
    """One request in the model.

    Args:
        kind: calls of one kind do the same and were answered the same.
        step: every state that the call may leave, with what its answer was; none where it cannot have come then.
        called_us: when it was sent.
        until_us: when its effect has happened at the latest; infinity where nobody can tell.
    """

    kind: Hashable
    step: Callable[[S], Iterable[S]]
    called_us: float
    until_us: float


def is_linearizable(calls: Sequence[Call[S]], first: S, last: S) -> bool:
    """Whether some order of the calls, each within its time, leads from one state to the other."""
    remaining = frozenset(range(len(calls)))
    tried: set[tuple[frozenset[int], S]] = set()
    open_ends = [(remaining, first)]
    while open_ends:
        left, state = open_ends.pop()
        if not left:
            if state == last:
                return True
            continue
        if (left, state) in tried:
            continue
        tried.add((left, state))
        for place in _next(calls, left):
            open_ends += [(left - {place}, after) for after in calls[place].step(state)]
    return False


def _next(calls: Sequence[Call[S]], left: frozenset[int]) -> Iterable[int]:
    """Which calls may come next: those sent before any other must be over; of each kind, the one that is over first."""
    soonest = min(calls[place].until_us for place in left)
    by_kind: dict[Hashable, int] = {}
    for place in sorted(left, key=lambda place: calls[place].until_us):
        if calls[place].called_us <= soonest:
            by_kind.setdefault(calls[place].kind, place)
    return by_kind.values()


def once_only(history: History, is_success: IsSuccess, *, settle_us: float) -> list[Call[int]]:
    """Copies of one message. The state counts its effects, and a second one adds none."""
    return _calls(history, is_success, settle_us, accepted=lambda effects: [max(effects, 1)])


def counter_with_floor(history: History, is_success: IsSuccess, *, settle_us: float, capacity: int) -> list[Call[int]]:
    """Distinct messages. The state counts effects up to a capacity; a success took one, a refusal none."""
    return _calls(history, is_success, settle_us, accepted=lambda effects: [effects + 1] if effects < capacity else [])


def register(
    history: History, is_success: IsSuccess, *, settle_us: float, numbers: Mapping[str, int]
) -> list[Call[int]]:
    """Numbered messages, by label. The state is the highest number that was accepted."""
    calls = []
    for operation in history:
        number = numbers[operation.label]
        only = History((operation,))
        [call] = _calls(only, is_success, settle_us, accepted=_written(number))
        calls.append(replace(call, kind=(number, call.kind)))
    return calls


def _written(number: int) -> Step:
    return lambda applied: [max(applied, number)]


def _calls(history: History, is_success: IsSuccess, settle_us: float, *, accepted: Step) -> list[Call[int]]:
    def refused(state: int) -> list[int]:
        return [state]

    def either(state: int) -> list[int]:
        return [*accepted(state), *refused(state)]

    calls = []
    for operation in history:
        kind, step = ("accepted", accepted) if is_success(operation.status) else ("refused", refused)
        if operation.status is None:
            # Without an answer it may have been accepted or not, and may be still.
            kind, step = "open", either
        until_us = math.inf if operation.returned_at_us is None else operation.returned_at_us + settle_us
        calls.append(Call(kind, step, float(operation.called_at_us), until_us))
    return calls
