"""What the guard says to the server, apart from how it is sent.

Rule: a talk never sends. It yields a message and is resumed with the results of its statements, or with the
psycopg.Error that one of them failed with; a session holds it, on a thread or on a task. So whatever is decided about
an answer of the server is written once.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from psycopg.pq.abc import PGresult

from tocsin.guard.stores.postgres._phrases import Phrase

if TYPE_CHECKING:  # sessions hold talks, and talks name sessions
    from tocsin.guard.stores.postgres._session import Session

T = TypeVar("T")
Results: TypeAlias = list[PGresult]
Call: TypeAlias = tuple[Phrase, Mapping[str, object]]
NOTHING: Mapping[str, object] = {}
Text: TypeAlias = bytes
"""Statements in full, or by their names with their values in the text, as one message."""
Calls: TypeAlias = tuple[Call, ...]
"""Statements by their names, their values beside them, as one message. Those without a name are said in full."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Statements that the server is to know by their names from now on."""

    phrases: Sequence[Phrase]


Message: TypeAlias = Text | Calls | Lesson


@dataclass(frozen=True, slots=True)
class Aside:
    """Something to say on a connection on which nothing has begun, because this one is inside a transaction.

    Its failure is a StoreUnavailable.

    Args:
        talk: makes what to say, for the session that will hold it.
        deadline: until when to wait for a connection, and for the server, by the monotonic clock.
    """

    talk: "Callable[[Session], Talk[Any]]"
    deadline: float


Talk: TypeAlias = Generator[Message | Aside, Any, T]


def asked(message: Message) -> Talk[Results]:
    """One message; what each of its statements gave."""
    # The one place where results are untyped: a generator has one send type for all that it yields.
    results: Results = yield message
    return results


def said(text: str) -> Talk[Results]:
    """Statements in full, separated by semicolons."""
    return asked(text.encode("ascii"))


def calling(session: "Session", *calls: Call) -> Message:
    """Statements one after the other, with their values beside them, where that can be helped.

    It is confidential: whoever watches the server reads texts, in pg_stat_activity and in its log. It is the least work
    for the server, and the quickest for a session that is alone.
    """
    return calls if session.is_prepared else _in_full(calls)


def saying(session: "Session", *calls: Call) -> Message:
    """Statements one after the other, by their names, where that can be helped, with their values in the text.

    It is the quickest among threads. Each statement of a Calls is several messages, for which libpq is asked twice as
    often, and each time another thread may take the interpreter away; then psycopg keeps it while they are sent.
    """
    if not session.is_prepared:
        return _in_full(calls)
    return ";".join([phrase.called(values) for phrase, values in calls]).encode("ascii")


def _in_full(calls: Calls) -> Text:
    return ";".join([phrase.said(values) for phrase, values in calls]).encode("ascii")


def rows_of(result: PGresult) -> list[list[str]]:
    """What a statement returned, in the server's own spelling; NULL is ""."""
    columns = range(result.nfields)
    return [[(result.get_value(row, column) or b"").decode() for column in columns] for row in range(result.ntuples)]
