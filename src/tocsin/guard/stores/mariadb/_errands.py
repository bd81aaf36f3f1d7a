"""What a store does, for threads and for tasks alike: everything but who waits."""

from collections.abc import Callable
from time import monotonic
from typing import Protocol, TypeVar

from tocsin.guard import _nested
from tocsin.guard._errors import TransactionBroken
from tocsin.guard._nested import refuse_itself
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.mariadb import _claims, _options, _schema
from tocsin.guard.stores.mariadb._claims import Written
from tocsin.guard.stores.mariadb._connections import Connections
from tocsin.guard.stores.mariadb._ending import Ending
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._taking import LATE_S, Apart, Taking
from tocsin.guard.stores.mariadb._talk import Talk

DECLARES = Declares(atomic=True, durable=True, cross_process=True, looks_first=False, ordered=True)
T = TypeVar("T")


class Around(_nested.Around, Protocol):
    """A unit that another one is nested in."""

    @property
    def session(self) -> Session:
        """Its connection."""
        ...


def taking(
    connections: Connections, claim: Claim, wait_s: float, around: Around | None
) -> Talk[tuple[Session, Ending] | Record | Forgotten]:
    """See Store.take. Whatever is not written has given back its connection."""
    deadline = monotonic() + wait_s

    def apart(talk: "Callable[[Session], Talk[object]]") -> Talk[object]:
        return connections.saying(talk, deadline)

    if around is not None:
        return (yield from _nesting(around, claim, deadline, apart))
    session, taken = yield from connections.beginning(
        lambda session: Taking(session, claim, deadline, apart).talk(), deadline
    )
    if isinstance(taken, Written):
        return session, Ending(session, claim, taken, is_nested=False)
    connections.stack.give_back(session)
    return taken


def looking(connections: Connections, key: bytes) -> Talk[Record | None]:
    """See Store.look."""
    deadline = monotonic() + _options.LOOK_WAIT_S
    return connections.saying(lambda session: _claims.reading(session, key, deadline + LATE_S), deadline)


def sweeping(connections: Connections, now_unix_ms: int) -> Talk[int]:
    """See Store.sweep."""
    deadline = monotonic() + _options.GIVE_WAY_S
    return connections.saying(lambda session: _claims.sweeping(session, now_unix_ms, deadline + LATE_S), deadline)


def migrating(connections: Connections) -> Talk[None]:
    """See MariaDBStore.migrate."""
    return connections.saying(_schema.migrating, monotonic() + _options.LOOK_WAIT_S)


def _nesting(
    around: Around, claim: Claim, deadline: float, apart: "Apart[object]"
) -> Talk[tuple[Session, Ending] | Record | Forgotten]:
    """Take a claim inside another one's transaction, in a savepoint."""
    refuse_itself(around, claim)
    session = around.session
    if session.undone is not None or session.broke or not session.is_in_transaction:
        raise TransactionBroken(f"{around.claim.operation}: its transaction does not stand any more")
    taken = yield from Taking(session, claim, deadline, apart, savepoint=session.savepoint()).talk()
    return (session, Ending(session, claim, taken, is_nested=True)) if isinstance(taken, Written) else taken
