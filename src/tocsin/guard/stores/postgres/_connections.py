"""The connections of threads, and what is said on one on which nothing has begun."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import BaseConnection, Connection

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._session_stack import SessionStack
from tocsin.guard.stores.postgres._session import BlockingSession, Session
from tocsin.guard.stores.postgres._settings import telling
from tocsin.guard.stores.postgres._talk import Talk

Connect: TypeAlias = Callable[[], Connection[Any]]
T = TypeVar("T")
# How much longer than the deadline that it was told itself a server may take to answer, before it is given up.
LATE_S = 1.0


class LostWhenNewError(StoreUnavailable):
    """A connection that was opened a moment ago was lost before it could be used."""


class Replacing:
    """Whether a connection that was lost at its first use is replaced, for one talk.

    Any number that nobody had used for a while: each may have been lost for long. Of new ones one: it may have been the
    last of a server that was about to go, or that somebody moved. A second one in a row is a server that does not work.
    """

    __slots__ = ("_is_lucky",)

    def __init__(self) -> None:
        self._is_lucky = True

    def does(self, session: Session) -> bool:
        """Whether to take another one in place of this one."""
        return session.is_stale and (not session.is_new or self.does_once())

    def does_once(self) -> bool:
        """Whether to open another one in place of a new one."""
        is_lucky, self._is_lucky = self._is_lucky, False
        return is_lucky


class Connections:
    """The connections of threads.

    Args:
        connect: opens one.
        most: how many may be open at once.
        idle_s: how long a handler may do nothing in its transaction.
    """

    def __init__(self, connect: Connect, most: int, idle_s: float) -> None:
        self.stack: SessionStack[BlockingSession] = SessionStack(most)
        self._connect = connect
        self._idle_s = idle_s

    def take(self, wait_s: float) -> BlockingSession:
        """A connection on which nothing has begun, for `stack.give_back`.

        Raises:
            StoreUnavailable: all of them were in use for that many seconds, or the server cannot be reached.
        """
        if not self.stack.places.take(wait_s):
            raise self.stack.crowded(wait_s)
        try:
            return self.stack.kept() or self._opened()
        except BaseException:
            self.stack.places.pass_on()
            raise

    def first(
        self, talk: Callable[[BlockingSession], Talk[T]], deadline: float, *, is_patient: bool = False
    ) -> tuple[BlockingSession, T]:
        """Hold a talk on a connection on which nothing has begun; it is the caller's then.

        A connection that turns out to be lost is replaced, see Replacing: the talk is begun anew.

        Args:
            talk: makes what to say, for the session that will hold it.
            deadline: until when to wait for a connection, by the monotonic clock; a server that does not answer is
                given up soon afterwards.
            is_patient: it is not: what it has to do may take long.

        Raises:
            StoreUnavailable: see `take`; or from the talk.
            psycopg.Error: from the talk.
        """
        until = None if is_patient else deadline + LATE_S
        replacing = Replacing()
        while True:
            try:
                session = self.take(max(0.0, deadline - monotonic()))
            except LostWhenNewError:
                if not replacing.does_once():
                    raise
                continue
            try:
                return session, session.hold(talk(session), until=until)
            except (psycopg.Error, StoreUnavailable):
                is_replaced = replacing.does(session)
                self.stack.give_back(session)
                if not is_replaced:
                    raise
            except BaseException:
                self.stack.give_back(session)
                raise

    def say(self, talk: Callable[[BlockingSession], Talk[T]], deadline: float, *, is_patient: bool = False) -> T:
        """Hold a talk on a connection, and keep that for others. Raises StoreUnavailable."""
        with explained():
            session, ended = self.first(lambda session: tidied(session, talk(session)), deadline, is_patient=is_patient)
        self.stack.give_back(session)
        return ended

    def _opened(self) -> BlockingSession:
        with reaching():
            connection = self._connect()
        try:
            with readying(connection):
                connection.autocommit = True
                session = BlockingSession(connection)
                session.know(session.hold(telling(connection, self._idle_s)))
                return session
        except BaseException:
            connection.close()
            raise


@contextmanager
def reaching() -> Iterator[None]:
    """Turn the errors of connecting into StoreUnavailable."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {error}") from error


@contextmanager
def readying(connection: BaseConnection[Any]) -> Iterator[None]:
    """Turn the errors of a connection's first messages into StoreUnavailable."""
    try:
        yield
    except psycopg.Error as error:
        kind = LostWhenNewError if connection.closed else StoreUnavailable
        raise kind(f"PostgreSQL cannot be used: {error}") from error


@contextmanager
def explained() -> Iterator[None]:
    """Turn the server's errors into StoreUnavailable; without the statement, which psycopg appends."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(error.diag.message_primary or str(error)) from error


def tidied(session: Session, talk: Talk[T]) -> Talk[T]:
    """A talk that leaves nothing open when it fails."""
    try:
        return (yield from talk)
    except psycopg.Error:
        yield from session.undone(None)
        raise
