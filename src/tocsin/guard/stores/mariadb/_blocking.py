"""Performs talks on a thread, over PyMySQL."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from pymysql import Connection
from pymysql.cursors import Cursor

from tocsin.guard.stores.mariadb._connections import Connections
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._talk import Open, Place, Said, Say, Step

# A server that has less time than this is given up at once in any case.
_LEAST_S = 0.001


class Blocking:
    """See performed().

    Args:
        connections: whose places are waited for.
        connect: opens a connection.
    """

    def __init__(self, connections: Connections, connect: "Callable[[], Connection[Any]]") -> None:
        self._connections = connections
        self._connect = connect

    def __call__(self, step: Step) -> object:
        """Perform a step."""
        match step:
            case Say():
                return spoken(step)
            case Place():
                return self._connections.stack.places.take(step.wait_s)
            case Open():
                connection = self._connect()
                connection.autocommit(False)
                return Session(connection)


def spoken(step: Say) -> list[Said]:
    """Say it, over PyMySQL. Raises pymysql.Error."""
    session = step.session
    # PyMySQL takes the time limit of an answer for the connection only, and looks at it before each of them.
    kept, session.connection._read_timeout = _limited(session, step.until)  # noqa: SLF001
    try:
        replies = executed(session.connection.cursor(Cursor), step)
    finally:
        session.connection._read_timeout = kept  # noqa: SLF001
    session.has_answered = True
    return replies


def executed(cursor: Any, step: Say) -> list[Said]:  # noqa: ANN401  PyMySQL's, or SQLAlchemy's around another driver's
    """The statements, as one message where the connection takes that; and what they gave."""
    replies: list[Said] = []
    messages = ("; ".join(step.statements),) if step.session.takes_many else step.statements
    for message in messages:
        if not message:
            continue
        cursor.execute(message)
        replies.append(_read(cursor))
        while step.session.takes_many and cursor.nextset():
            replies.append(_read(cursor))
    return replies


def _read(cursor: Any) -> Said:  # noqa: ANN401  likewise
    return Said(list(cursor.fetchall()) if cursor.description else [], cursor.rowcount)


def _limited(session: Session, until: float | None) -> tuple[float | None, float | None]:
    own: float | None = session.connection._read_timeout  # noqa: SLF001
    return own, own if until is None else max(_LEAST_S, until - monotonic())
