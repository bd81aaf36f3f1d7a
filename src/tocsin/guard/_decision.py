"""What a request gets, from what is stored under its key. PURE.

Rule: every outcome stands in one table, and the table is total: tests/guard/test_decision.py fails for a state or a
relation that has no row.
"""

from enum import Enum, auto
from types import MappingProxyType

from tocsin.guard._fingerprint import comparable
from tocsin.guard._retention import is_forgettable, is_tombstone
from tocsin.guard._store import Record


class State(Enum):
    """What is known about a key."""

    # Each member is one object. An enumeration's own hash is a function of Python's, called for every look-up.
    __hash__ = object.__hash__

    FREE = auto()
    """No claim, or one that has had its time."""

    RUNNING = auto()
    """Another request of this process is applying it now."""

    UNSETTLED = auto()
    """Committed without an answer."""

    TOMBSTONE = auto()
    """Applied and answered; the status is left of the answer."""

    ANSWERED = auto()
    """Applied and answered; the answer is stored."""


class Relation(Enum):
    """How a request's fingerprint compares with the one of the claim."""

    __hash__ = object.__hash__

    SAME = auto()
    OTHER = auto()
    NOT_COMPARED = auto()


class Outcome(Enum):
    """What the request gets."""

    RUN = auto()
    WAIT = auto()
    REPLAY = auto()
    REPLAY_STATUS = auto()
    ANSWER_UNKNOWN = auto()
    MISMATCH = auto()


DECISIONS = MappingProxyType(
    {
        (State.FREE, Relation.SAME): Outcome.RUN,
        (State.FREE, Relation.OTHER): Outcome.RUN,
        (State.FREE, Relation.NOT_COMPARED): Outcome.RUN,
        (State.RUNNING, Relation.SAME): Outcome.WAIT,
        (State.RUNNING, Relation.OTHER): Outcome.MISMATCH,
        (State.RUNNING, Relation.NOT_COMPARED): Outcome.WAIT,
        (State.UNSETTLED, Relation.SAME): Outcome.ANSWER_UNKNOWN,
        (State.UNSETTLED, Relation.OTHER): Outcome.MISMATCH,
        (State.UNSETTLED, Relation.NOT_COMPARED): Outcome.ANSWER_UNKNOWN,
        (State.TOMBSTONE, Relation.SAME): Outcome.REPLAY_STATUS,
        (State.TOMBSTONE, Relation.OTHER): Outcome.MISMATCH,
        (State.TOMBSTONE, Relation.NOT_COMPARED): Outcome.REPLAY_STATUS,
        (State.ANSWERED, Relation.SAME): Outcome.REPLAY,
        (State.ANSWERED, Relation.OTHER): Outcome.MISMATCH,
        (State.ANSWERED, Relation.NOT_COMPARED): Outcome.REPLAY,
    }
)


# Python 3.11 finds a member of an enumeration by a function call.
_FREE, _UNSETTLED, _TOMBSTONE, _ANSWERED = State.FREE, State.UNSETTLED, State.TOMBSTONE, State.ANSWERED
_SAME, _OTHER, _NOT_COMPARED = Relation.SAME, Relation.OTHER, Relation.NOT_COMPARED


def state_of(record: Record | None, now_unix_ms: int) -> State:
    """What a store's answer says about a key."""
    if record is None or is_forgettable(record, now_unix_ms):
        return _FREE
    if record.status is None:
        return _UNSETTLED
    return _TOMBSTONE if is_tombstone(record, now_unix_ms) else _ANSWERED


def relation_of(stored: bytes | None, given: bytes | None) -> Relation:
    """How the stored fingerprint and the request's compare."""
    if not comparable(stored, given):
        return _NOT_COMPARED
    return _SAME if stored == given else _OTHER
