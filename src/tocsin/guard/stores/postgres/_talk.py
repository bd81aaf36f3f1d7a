"""What the guard says to the server, apart from how it is sent.

Rule: a talk never sends. It yields a message and is resumed with the results of its statements, or with the
psycopg.Error that one of them failed with; a session holds it, on a thread or on a task. So whatever is decided about
an answer of the server is written once. Nobody changes a message; that nobody can would cost as much as saying it.
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


@dataclass(slots=True)
class Text:
    """Statements in full, as one message."""

    octets: bytes


@dataclass(slots=True)
class Calls:
    """Statements by their names, their values beside them, as one message. Those without a name are said in full."""

    calls: Sequence[Call]


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
    return asked(Text(text.encode("ascii")))


def saying(session: "Session", *calls: Call, is_confidential: bool = False) -> Message:
    """Statements one after the other, to be said the quickest way that there is.

    Args:
        session: that will say them.
        calls: what.
        is_confidential: whether their values are to stand in no text, where that can be helped: whoever watches the
            server reads texts, in pg_stat_activity and in its log.
    """
    if not session.is_prepared:
        return Text(";".join([phrase.said(values) for phrase, values in calls]).encode("ascii"))
    if is_confidential:
        return Calls(calls)
    # Each statement of a Calls is several messages, for which libpq is asked twice as often; and each time another
    # thread may take the interpreter away.
    return Text(";".join([phrase.called(values) for phrase, values in calls]).encode("ascii"))


def rows_of(result: PGresult) -> list[list[str]]:
    """What a statement returned, in the server's own spelling; NULL is ""."""
    columns = range(result.nfields)
    return [[(result.get_value(row, column) or b"").decode() for column in columns] for row in range(result.ntuples)]
