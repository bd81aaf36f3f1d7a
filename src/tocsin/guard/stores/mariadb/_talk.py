"""What is to be done with a database, apart from who waits while it is done.

Rule: a talk (see tocsin.guard._talks) never waits and never sends: a thread performs it, or a task, or a greenlet of
SQLAlchemy's. So what is decided about an answer of the server, and about who gets which connection, is written once.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:  # talks name sessions, and sessions hold talks
    from tocsin.guard.stores.mariadb._session import Session

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Say:
    """Statements, one after the other; the first that fails is the last. Reply: a Said for each; or pymysql.Error.

    Args:
        session: to whom.
        statements: in full, each in ASCII.
        until: when to give up a server that does not answer, by the monotonic clock; None: never.
    """

    session: "Session"
    statements: tuple[str, ...]
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What one statement gave.

    Args:
        rows: that it returned.
        count: how many it changed or returned.
    """

    rows: list[tuple[Any, ...]]
    count: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place among those who may use a connection. Reply: whether one was to be had within so many seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """A new connection. Reply: its Session; or pymysql.Error."""


Step: TypeAlias = Say | Place | Open
Talk: TypeAlias = Generator[Step, Any, T]


def said(step: Say) -> Talk[list[Said]]:
    """What each of the statements gave."""
    # The one place where replies are untyped: a generator has one send type for all that it yields.
    replies: list[Said] = yield step
    return replies
