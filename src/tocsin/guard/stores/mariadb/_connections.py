"""The connections of one process: as many as there are transactions at once, kept for the next one.

Rule: no thread of our own keeps them. Whether a connection still stands is found out by using it, before anything has
begun; and whoever waits for one waits in the order of arrival.
"""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import pymysql

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._turn import Turn
from tocsin.guard.stores.mariadb._session import Session, text_of
from tocsin.guard.stores.mariadb._settings import greeting
from tocsin.guard.stores.mariadb._taking import undone
from tocsin.guard.stores.mariadb._talk import Open, Place, Talk

T = TypeVar("T")


class Connections:
    """Idle connections, of which the one used last is used next, and the places of those in use.

    Args:
        most: how many may be open at once.
        idle_s: how long a handler may do nothing in its transaction; None: not for the guard to say.
    """

    def __init__(self, most: int, idle_s: float | None) -> None:
        self.places = Turn(most)
        self._most = most
        self._idle_s = idle_s
        self._idle: list[Session] = []
        # What a forked child must not close: that would end its parent's sessions.
        self._inherited: list[Session] = []

    def saying(self, talk: Callable[[Session], Talk[T]], deadline: float) -> Talk[T]:
        """Hold a talk on a connection, and keep that for others. Raises StoreUnavailable."""
        try:
            session, ended = yield from self.beginning(lambda session: _tidied(session, talk(session)), deadline)
        except pymysql.Error as error:
            raise StoreUnavailable(text_of(error)) from error
        self.give_back(session)
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
                self.give_back(session)
                if not (is_stale and isinstance(error, pymysql.Error | StoreUnavailable)):
                    raise

    def give_back(self, session: Session) -> None:
        """Keep a connection for the next one, unless something has begun on it or it is lost."""
        if session.is_inherited:
            # Taken before this process was forked: neither the connection nor the place is ours.
            self._inherited.append(session)
            return
        if session.is_idle:
            self._idle.append(session)
        else:
            session.hang_up()
        self.places.pass_on()

    def finish(self, session: Session, *, is_usable: bool, is_nested: bool) -> None:
        """A claim's share of the transaction on a connection has ended; whether well enough to go on."""
        if not is_nested:
            if not is_usable and not session.is_inherited:
                session.hang_up()
            self.give_back(session)
        elif not is_usable:
            session.broke = "to go on after a nested operation that cannot be undone"

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().hang_up()

    def disown(self) -> None:
        """In a forked child: forget the parent's connections, without a word to its server."""
        self._inherited += self._idle
        self._idle = []

    def _one(self, wait_s: float) -> Talk[Session]:
        if not (yield Place(wait_s)):
            raise StoreUnavailable(f"all {self._most} connections of this process were in use for {wait_s:.3g} s")
        try:
            while self._idle:
                kept = self._idle.pop()
                if kept.is_idle:
                    kept.begin()
                    return kept
                kept.hang_up()
            return (yield from self._opened())
        except BaseException:
            self.places.pass_on()
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
