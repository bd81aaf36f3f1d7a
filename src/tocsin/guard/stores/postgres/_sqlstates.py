"""What PostgreSQL's error codes mean for a guarded request. PURE.

Rule: a code that is not known here says something about the statement, and is the handler's own affair.
"""

from enum import Enum, auto


class Trouble(Enum):
    """Whose trouble an error is."""

    CONFLICT = auto()
    """The transaction was undone for the sake of another one: it may run again."""

    UNAVAILABLE = auto()
    """Locked, full, down or read-only: the same request may succeed later."""

    STATEMENT = auto()
    """The statement, or the data that it met."""


IDLE_TIMEOUT = "25P03"
LOCK_TIMEOUT = "55P03"
UNDEFINED_TABLE = "42P01"
DIVISION_BY_ZERO = "22012"
NO_SUCH_STATEMENT = "26000"

# serialization_failure, deadlock_detected
_CONFLICTS = frozenset({"40001", "40P01"})
# read_only_sql_transaction (a standby), the time-outs of idle and of long transactions, object_in_use
_UNAVAILABLE = frozenset({"25006", IDLE_TIMEOUT, "25P04", LOCK_TIMEOUT, "55006"})
# Connection, resources, operator (shut-down, cancelled, time-out), system, internal: corrupted data is among them.
_UNAVAILABLE_CLASSES = frozenset({"08", "53", "57", "58", "XX"})


def trouble_of(sqlstate: str) -> Trouble:
    """What an error code means, by appendix A of PostgreSQL's manual."""
    if sqlstate in _CONFLICTS:
        return Trouble.CONFLICT
    if sqlstate in _UNAVAILABLE or sqlstate[:2] in _UNAVAILABLE_CLASSES:
        return Trouble.UNAVAILABLE
    return Trouble.STATEMENT
