"""The connections of one process: as many as there are transactions at once, kept for the next one.

Rule: no thread of our own keeps them. A connection is looked at when it is wanted, and whoever waits for one waits in
the order of arrival.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg import Connection

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._turn import Turn
from tocsin.guard.stores.postgres._session import Session
from tocsin.guard.stores.postgres._settings import prepare

Connect: TypeAlias = Callable[[], Connection[Any]]


class Connections:
    """A stack of idle connections; the one used last is used next.

    Args:
        connect: opens one.
        most: how many may be open at once.
        idle_s: how long a handler may do nothing in its transaction.
    """

    def __init__(self, connect: Connect, most: int, idle_s: float) -> None:
        self._connect = connect
        self._most = most
        self._idle_s = idle_s
        self._places = Turn(most)
        self._idle: list[Session] = []

    def take(self, wait_s: float) -> Session:
        """A connection on which nothing has begun, for `give_back`.

        Raises:
            StoreUnavailable: all of them were in use for that many seconds, or the server cannot be reached.
        """
        if not self._places.take(wait_s):
            raise StoreUnavailable(f"all {self._most} connections of this process were in use for {wait_s:.3g} s")
        try:
            return self._kept() or self._opened()
        except BaseException:
            self._places.pass_on()
            raise

    def give_back(self, session: Session) -> None:
        """Keep a connection for the next one, unless something has begun on it or it is lost."""
        if session.is_inherited:
            # Taken before this process was forked: neither the connection nor the place is ours.
            _inherited.append(session)
            return
        try:
            if session.is_idle:
                self._idle.append(session)
            else:
                session.connection.close()
        finally:
            self._places.pass_on()

    @contextmanager
    def lend(self, wait_s: float) -> Iterator[Session]:
        """A connection for a moment. Raises as `take` does, and StoreUnavailable for the server's errors."""
        session = self.take(wait_s)
        try:
            with explained(session):
                yield session
        finally:
            self.give_back(session)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().connection.close()

    def disown(self) -> None:
        """In a forked child: forget the parent's connections, without a word to its server."""
        _inherited.extend(self._idle)
        self._idle = []

    def _kept(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if not session.has_gone:
                session.begin()
                return session
            session.connection.close()
        return None

    def _opened(self) -> Session:
        try:
            connection = self._connect()
        except psycopg.Error as error:
            raise StoreUnavailable(f"PostgreSQL cannot be reached: {error}") from error
        try:
            connection.autocommit = True
            return Session(connection, prepare(connection, self._idle_s))
        except psycopg.Error as error:
            connection.close()
            raise StoreUnavailable(f"PostgreSQL cannot be used: {error}") from error
        except BaseException:
            connection.close()
            raise


@contextmanager
def explained(session: Session) -> Iterator[Session]:
    """Turn the server's errors into StoreUnavailable, and undo what had begun."""
    try:
        yield session
    except psycopg.Error as error:
        session.undo(None)
        raise StoreUnavailable(error.diag.message_primary or str(error)) from error


# What a forked child must not close: that would end its parent's sessions.
_inherited: list[object] = []
