"""The vocabulary of the guard's log: what can be said, at which level, with which fields. PURE.

Rule: these names are stable; dashboards and alarms are built on them. The tables in docs/guard.md are made from this
file. Whatever can be said has a row here, and nothing in it is a body, a signature, a secret or the value of a key.
"""

from enum import Enum
from logging import DEBUG, ERROR, INFO, WARNING
from types import MappingProxyType

_HANDLERS = "the handler's"
_STORED = "the stored one"


class Ending(Enum):
    """How a guarded request ended: the field `outcome`.

    Attributes:
        word: the field's value.
        level: of its record, as in logging.
        status: what the request got.
        meaning: in words.
    """

    # As in _decision.State.
    __hash__ = object.__hash__

    APPLIED = "applied", DEBUG, _HANDLERS, "the first of its kind: its writes and its answer are committed"
    REFUSED_BY_HANDLER = (
        "refused_by_handler",
        DEBUG,
        _HANDLERS,
        "the handler raised an HTTP error: its writes are undone, the answer is remembered",
    )
    NOT_REMEMBERED = "not_remembered", INFO, _HANDLERS, "a status that is not remembered: rolled back, a retry runs"
    REPLAYED = "replayed", DEBUG, _STORED, "a duplicate got the stored answer"
    REPLAYED_STATUS = "replayed_status", DEBUG, _STORED, "a duplicate of a tombstone got its status"
    SUPERSEDED = (
        "superseded",
        INFO,
        "200",
        "not newer than what its stream has applied: nothing is, and duplicates get the same answer",
    )
    TOO_LARGE = "too_large", INFO, "413", "the body is over the cap, and was not hashed"
    REJECTED = "rejected", INFO, "401", "not validly signed; `reason` says why, the answer does not"
    FORGOTTEN = "forgotten", WARNING, "401", "older than a claim that was let go: a clock has gone back"
    KEY_REFUSED = "key_refused", INFO, "400", "verified, and without a usable idempotency key"
    MISMATCH = "mismatch", INFO, "422", "the key belongs to another request"
    IN_PROGRESS = "in_progress", INFO, "409", "the first request with this key was still running after `wait_s`"
    CROWDED = "crowded", INFO, "409", "too many requests wait for this key"
    HANDLER_RAISED = "handler_raised", INFO, "the framework's", "the handler raised `error`: rolled back, a retry runs"
    GIVEN_UP = (
        "given_up",
        INFO,
        "the framework's",
        "the framework refused it, or it was cancelled or interrupted: before COMMIT nothing was applied",
    )
    BROKEN = "broken", ERROR, "500", "the handler broke its transaction: rolled back, never remembered"
    ANSWER_TOO_LARGE = "answer_too_large", ERROR, "500", "the answer is over `max_answer_bytes`: rolled back"
    ANSWER_UNKNOWN = "answer_unknown", ERROR, "500", "applied before, answer unknown: `tocsin claims list --unsettled`"
    UNAVAILABLE = "unavailable", ERROR, "503", "the store is locked, full or down: nothing was applied"
    CONFLICTED = "conflicted", ERROR, "503", "it conflicted with other transactions every time it ran"
    COMMIT_UNKNOWN = "commit_unknown", ERROR, "503", "whether it was committed could not be told in time"

    def __init__(self, word: str, level: int, status: str, meaning: str) -> None:
        self.word = word
        self.level = level
        self.status = status
        self.meaning = meaning

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault of this service rather than of the request."""
        return self.level >= ERROR


class Event(Enum):
    """What a record is about: its field `event`."""

    REQUEST = "request"
    HELD = "write_lock_held"
    SWEPT = "swept"
    SWEEP_PUT_OFF = "sweep_put_off"
    NOTICE = "store_notice"


# The fields of each event besides `event`, all of them always there, and what it says.
EVENTS = MappingProxyType(
    {
        Event.REQUEST: (
            ("operation", "outcome", "status", "key", "tenant", "duration_ms", "waited_ms", "reason", "error"),
            "a guarded request has ended; at the level of its outcome",
        ),
        Event.HELD: (("operation", "held_ms"), "a handler held SQLite's write lock for longer than `hold_s`"),
        Event.SWEPT: (("rows",), "a sweep let go of answers and claims"),
        Event.SWEEP_PUT_OFF: (("reason",), "a sweep found the store busy; the next one does its work"),
        Event.NOTICE: (("store", "reason"), "a store says what it found or changed"),
    }
)
