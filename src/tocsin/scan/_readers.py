"""Readers that look at the service while it is written to. Edge: threads.

Rule: one answer is one observation. Two answers are never put together: between them the state may have moved as it
should.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from tocsin.scan._compose import Draft
from tocsin.scan._errors import BudgetEnded
from tocsin.scan._plan import Invariant
from tocsin.scan._session import Session
from tocsin.wire import Response

# An invariant, and whose resources it is asked for.
Look: TypeAlias = tuple[Invariant, Draft]

# Two keep a read in flight at any moment; more would take the processor from the service that is looked at.
_READERS = 2


@dataclass(frozen=True, slots=True)
class Observation:
    """What one reader got, and when, on `time.monotonic_ns()`."""

    invariant: Invariant
    asked_ns: int
    answered_ns: int
    response: Response | None

    def overlaps(self, intervals: Iterable[tuple[int, int]]) -> bool:
        """Whether a request was in flight while this was."""
        return any(begun <= self.answered_ns and self.asked_ns <= ended for begun, ended in intervals)


@contextmanager
def reading(session: Session, looks: Sequence[Look]) -> Iterator[list[Observation]]:
    """Read on and on while the block runs; the observations are complete when it has ended."""
    found: list[Observation] = []
    over = threading.Event()
    threads = [
        threading.Thread(target=_read_on, args=(session, looks, place, over, found)) for place in range(_READERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def observe(session: Session, look: Look) -> Observation:
    """One look."""
    invariant, draft = look
    asked_ns = time.monotonic_ns()
    response = session.peek(invariant.request, draft)
    return Observation(invariant, asked_ns, time.monotonic_ns(), response)


def _read_on(
    session: Session, looks: Sequence[Look], place: int, over: threading.Event, found: list[Observation]
) -> None:
    while not over.is_set():
        try:
            found.append(observe(session, looks[place % len(looks)]))
        except BudgetEnded:
            return  # the writer meets the same end, and says so
        place += 1
