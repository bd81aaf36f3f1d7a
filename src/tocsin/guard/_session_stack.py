"""The sessions of one process with a database server: as many as there are transactions at once, kept for the next one.

Rule: no thread of our own keeps them. Whether a session still stands is found out by using it, before anything has
begun; and whoever waits for one waits in the order of arrival.
"""

from typing import Generic, Protocol, TypeVar

from tocsin.guard._errors import StoreUnavailable
from tocsin.guard._turn import Turn


class KeptSession(Protocol):
    """A connection, and what is known of it.

    Attributes:
        broke: what the handler tried that would have ended its transaction; "" if nothing.
    """

    broke: str

    @property
    def is_idle(self) -> bool:
        """Whether it can be used for something new, as far as this side knows."""
        ...

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked after the connection was opened, which is therefore its parent's."""
        ...

    def begin(self) -> None:
        """Forget the transaction before."""
        ...

    def hang_up(self) -> None:
        """Close the connection: the server rolls back whatever is on it."""
        ...


S = TypeVar("S", bound=KeptSession)

# What a forked child must not close: that would end its parent's sessions.
_inherited: list[object] = []


class SessionStack(Generic[S]):
    """Idle sessions, of which the one used last is used next, and the places of those in use.

    Args:
        most: how many may be open at once.
    """

    def __init__(self, most: int) -> None:
        self.places = Turn(most)
        self.idle: list[S] = []
        self._most = most

    def kept(self) -> S | None:
        """One that can be used, for somebody who has a place; None: open another one."""
        while self.idle:
            session = self.idle.pop()
            if session.is_idle:
                session.begin()
                return session
            session.hang_up()
        return None

    def give_back(self, session: S) -> None:
        """Keep a session for the next one, unless something has begun on it or it is lost."""
        if session.is_inherited:
            # Taken before this process was forked: neither the connection nor the place is ours.
            _inherited.append(session)
            return
        if session.is_idle:
            self.idle.append(session)
        else:
            session.hang_up()
        self.places.pass_on()

    def finish(self, session: S, *, is_usable: bool, is_nested: bool) -> None:
        """A claim's share of the transaction on a session has ended; whether well enough to go on."""
        if not is_nested:
            if not is_usable and not session.is_inherited:
                session.hang_up()
            self.give_back(session)
        elif not is_usable:
            session.broke = "to go on after a nested operation that cannot be undone"

    def close(self) -> None:
        """Close the sessions that nobody uses."""
        while self.idle:
            self.idle.pop().hang_up()

    def disown(self) -> None:
        """In a forked child: forget the parent's sessions, without a word to its server."""
        _inherited.extend(self.idle)
        self.idle = []

    def crowded(self, wait_s: float) -> StoreUnavailable:
        """What it is to find no place in all that time."""
        return StoreUnavailable(f"all {self._most} connections of this process were in use for {wait_s:.3g} s")
