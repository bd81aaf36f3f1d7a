"""Whether what clients and a reader saw of a guarded service fits one execution of each order, in some sequence.

The model of one key: nothing is applied; then one request applies it, with the one answer that every later request of
the key gets; and it stays. A key's requests and reads do not depend on another key's, so each key is checked alone. The
search is the scanner's.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from bench.crashing.running import APPLIED, Attempt
from tocsin.scan._linear import Call, is_linearizable

State: TypeAlias = Hashable
NOTHING: State = "nothing is applied"
# Applied by a request whose answer was lost, and which nobody sent again.
UNSEEN: State = "applied, with an answer that nobody has"
FAILED, STILL_RUNNING = 500, 409


@dataclass(frozen=True, slots=True)
class Reading:
    """What was committed at some moment between the call and the return.

    Args:
        called_at: by the monotonic clock of the attempts.
        returned_at: likewise.
        applied: how often each order was there.
    """

    called_at: float
    returned_at: float
    applied: Counter[str]


def misfits(attempts: Sequence[Attempt], readings: Sequence[Reading]) -> list[str]:
    """The orders whose history fits no sequence.

    Args:
        attempts: of all clients, in any order.
        readings: of one reader, one after the other.
    """
    by_order: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_order.setdefault(attempt.order_id, []).append(attempt)
    return [order_id for order_id, own in by_order.items() if not _fits(own, _telling(readings, order_id))]


def _fits(attempts: Sequence[Attempt], reads: Iterable[tuple[Reading, int]]) -> bool:
    answers = {attempt.stored for attempt in attempts if attempt.status == APPLIED}
    calls = [_call_of(attempt, answers) for attempt in attempts]
    calls += [
        Call(f"read {count}", _read(count), reading.called_at * 1e6, reading.returned_at * 1e6)
        for reading, count in reads
    ]
    return any(is_linearizable(calls, NOTHING, last) for last in (NOTHING, UNSEEN, *answers))


def _telling(readings: Sequence[Reading], order_id: str) -> Iterable[tuple[Reading, int]]:
    """The readings that say something: a reader comes back for the next, and between two equal ones nothing changed."""
    counts = [reading.applied[order_id] for reading in readings]
    for place, count in enumerate(counts):
        if {count} != set(counts[max(0, place - 1) : place + 2]) or place in {0, len(counts) - 1}:
            yield readings[place], count


def _call_of(attempt: Attempt, answers: Iterable[State]) -> Call[State]:
    called_us, returned_at = attempt.called_at * 1e6, attempt.returned_at
    until_us = inf if returned_at is None else returned_at * 1e6
    match attempt.status:
        case 201:
            return Call(("answered", attempt.stored), _answered(attempt.stored), called_us, until_us)
        case 500:
            return Call("failed", lambda state: [state] if state == NOTHING else [], called_us, until_us)
        case 409:
            return Call("still running", lambda state: [state], called_us, until_us)
        case None | 503:
            # Nobody knows whether it was applied, nor when it will have been.
            return Call("open", _perhaps([NOTHING, UNSEEN, *answers]), called_us, inf)
    raise AssertionError(f"{attempt.order_id}: no service of ours answers {attempt.status}")


def _answered(stored: State) -> Callable[[State], Iterable[State]]:
    return lambda state: [stored] if state in (NOTHING, stored) else []


def _perhaps(afterwards: Iterable[State]) -> Callable[[State], Iterable[State]]:
    return lambda state: afterwards if state == NOTHING else [state]


def _read(count: int) -> Callable[[State], Iterable[State]]:
    return lambda state: [state] if (count == 0) == (state == NOTHING) and count <= 1 else []
