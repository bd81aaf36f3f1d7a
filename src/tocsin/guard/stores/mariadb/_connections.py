"""The connections of one process, and what is said on one on which nothing has begun."""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import pymysql

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._session_stack import SessionStack
from tocsin.guard.stores.mariadb._session import Session, text_of
from tocsin.guard.stores.mariadb._settings import greeting
from tocsin.guard.stores.mariadb._taking import undone
from tocsin.guard.stores.mariadb._talk import Open, Place, Talk

T = TypeVar("T")


class Connections:
    """The connections of threads and of tasks: a talk opens them, see Performing.

    Args:
        most: how many may be open at once.
        idle_s: how long a handler may do nothing in its transaction; None: not for the guard to say.
    """

    def __init__(self, most: int, idle_s: float | None) -> None:
        self.stack: SessionStack[Session] = SessionStack(most)
        self._idle_s = idle_s

    def saying(self, talk: Callable[[Session], Talk[T]], deadline: float) -> Talk[T]:
        """Hold a talk on a connection, and keep that for others. Raises StoreUnavailable."""
        try:
            session, ended = yield from self.beginning(lambda session: _tidied(session, talk(session)), deadline)
        except pymysql.Error as error:
            raise StoreUnavailable(text_of(error)) from error
        self.stack.give_back(session)
        return ended

    def beginning(self, talk: Callable[[Session], Talk[T]], deadline: float) -> Talk[tuple[Session, T]]:
        """Hold a talk on a connection on which nothing has begun; it is the caller's then.

        A connection that turns out to have been lost while nobody used it is replaced: the talk is begun anew.

        Args:
            talk: what to say.
            deadline: until when to wait for a connection, by the monotonic clock.

        Raises:
            StoreUnavailable: all of them were in use, or the server cannot be reached; or from the talk.
            pymysql.Error: from the talk.
        """
        while True:
            session = yield from self._one(max(0.0, deadline - monotonic()))
            try:
                return session, (yield from talk(session))
            except BaseException as error:
                is_stale = session.is_stale
                if not isinstance(error, Exception):
                    # Cut short: nobody knows what is on it.
                    session.hang_up()
                self.stack.give_back(session)
                if not (is_stale and isinstance(error, pymysql.Error | StoreUnavailable)):
                    raise

    def _one(self, wait_s: float) -> Talk[Session]:
        if not (yield Place(wait_s)):
            raise self.stack.crowded(wait_s)
        try:
            return self.stack.kept() or (yield from self._opened())
        except BaseException:
            self.stack.places.pass_on()
            raise

    def _opened(self) -> Talk[Session]:
        try:
            opened: Session = yield Open()
        except pymysql.Error as error:
            raise StoreUnavailable(f"MariaDB cannot be reached: {text_of(error)}") from error
        try:
            yield from greeting(opened, self._idle_s)
        except BaseException as error:
            opened.hang_up()
            if isinstance(error, pymysql.Error):
                raise StoreUnavailable(f"MariaDB cannot be used: {text_of(error)}") from error
            raise
        return opened


def _tidied(session: Session, talk: Talk[T]) -> Talk[T]:
    """A talk that leaves nothing open when it fails."""
    try:
        return (yield from talk)
    except pymysql.Error:
        yield from undone(session, None)
        raise
