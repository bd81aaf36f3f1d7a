"""PostgresStore: claims in the application's own PostgreSQL database.

Rule: the unique key decides who is granted, in all processes and on all machines. Whoever comes second waits in the
server, inside its INSERT, until the first one has committed or rolled back; so nothing here is a lock that somebody
could forget to release.
"""

from collections.abc import Callable
from functools import partial
from threading import local
from time import monotonic
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from tocsin.guard._errors import GuardError, TransactionBroken
from tocsin.guard._fork import renew_in_children
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.postgres import _claims, _schema
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._connections import Connect, Connections, explained
from tocsin.guard.stores.postgres._session import trouble_with
from tocsin.guard.stores.postgres._sqlstates import Trouble
from tocsin.guard.stores.postgres._taking import take
from tocsin.guard.stores.postgres._unit import Unit

# For a server that has vanished without a word: libpq's own defaults wait for minutes, or for ever.
_CONNECTION_DEFAULTS = {
    "connect_timeout": "2",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "tocsin",
}
_LOOK_WAIT_S = 2.0
# Sweeping gives way to requests.
_GIVE_WAY_S = 0.1


class PostgresStore:
    """Claims, answers and the application's tables in one PostgreSQL database.

    Nothing is connected before it is used, and the tables are made by `migrate`, once.

    Args:
        conninfo: the database, as psycopg.connect takes it ("postgresql://user@host/db"); or a function that opens a
            psycopg connection, for row factories, adapters and isolation levels. What it opens is the store's.
        max_connections: how many a process opens at most: one for each handler that runs at the same time. A request
            that finds all of them in use waits its turn.
        idle_s: a handler that does nothing in its transaction for longer is rolled back by the server, so that its key
            and its locks become free.

    Raises:
        GuardError: an argument is refused.
    """

    declares = Declares(atomic=True, durable=True, cross_process=True, looks_first=False)

    def __init__(
        self,
        conninfo: str | Callable[[], Connection[Any]],
        *,
        max_connections: int = 32,
        idle_s: float = 30.0,
    ) -> None:
        if max_connections < 1:
            raise GuardError(f"max_connections = {max_connections!r}; wanted 1 or more")
        if not idle_s >= 1:
            raise GuardError(f"idle_s = {idle_s!r}; wanted 1 second or more")
        connect = conninfo if callable(conninfo) else _connect_to(conninfo)
        self._connections = Connections(connect, max_connections, idle_s)
        self._local = local()
        renew_in_children(self)

    def migrate(self) -> None:
        """Create what is missing of the guard's tables; schema_sql() is what this runs.

        Raises:
            StoreUnavailable: the server cannot be reached, does not permit it, or others held its locks for too long.
        """
        with self._connections.lend(_LOOK_WAIT_S) as session:
            _schema.migrate(session.connection)

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        with self._connections.lend(_LOOK_WAIT_S) as session:
            return _claims.read(session, key)

    def is_inside(self) -> bool:
        """See Store."""
        return self._current() is not None

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store."""
        deadline = monotonic() + wait_s
        outer = self._current()
        if outer is not None:
            return self._nest(outer, claim, deadline)
        session = self._connections.take(wait_s)
        try:
            taken = take(session, claim, deadline, savepoint=None, aside=lambda: explained(session))
        except BaseException:
            self._connections.give_back(session)
            raise
        if not isinstance(taken, Written):
            self._connections.give_back(session)
            return taken
        return self._granted(Unit(self, session, claim, taken))

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return trouble_with(error) is Trouble.UNAVAILABLE

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        with self._connections.lend(_GIVE_WAY_S) as session:
            return _claims.sweep(session, now_unix_ms, _GIVE_WAY_S)

    def close(self) -> None:
        """See Store. Connections that a handler is using are kept until the store is closed again."""
        self._connections.close()

    def finish(self, unit: Unit, *, is_usable: bool) -> None:
        """Called by a unit when it has ended."""
        self._local.unit = unit.outer
        if unit.outer is None:
            if not is_usable and not unit.session.is_inherited:
                unit.session.connection.close()
            self._connections.give_back(unit.session)
        elif not is_usable:
            unit.session.broke = "to go on after a nested operation that cannot be undone"

    def renew_after_fork(self) -> None:
        """See Renewable."""
        self._connections.disown()
        self._local = local()

    def _current(self) -> Unit | None:
        unit: Unit | None = getattr(self._local, "unit", None)
        return unit

    def _granted(self, unit: Unit) -> Unit:
        self._local.unit = unit
        return unit

    def _nest(self, outer: Unit, claim: Claim, deadline: float) -> Unit | Record | Forgotten:
        above: Unit | None = outer
        while above is not None:
            if above.claim.key == claim.key:
                raise GuardError(f"{claim.operation}: its handler called itself again under its own key")
            above = above.outer
        session = outer.session
        if session.status is not TransactionStatus.INTRANS:
            raise TransactionBroken(f"{outer.claim.operation}: its transaction does not stand any more")
        savepoint = session.savepoint()
        aside = partial(self._connections.lend, _LOOK_WAIT_S)
        taken = take(session, claim, deadline, savepoint=savepoint, aside=aside)
        if not isinstance(taken, Written):
            return taken
        return self._granted(Unit(self, session, claim, taken, savepoint=savepoint, outer=outer))


def _connect_to(conninfo: str) -> Connect:
    try:
        said = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # Without libpq's own words, which quote the string and the password in it.
        raise GuardError(
            'PostgresStore: the connection string cannot be read; wanted such as "postgresql://user@host/database"'
        ) from None
    whole = make_conninfo(conninfo, **{name: value for name, value in _CONNECTION_DEFAULTS.items() if name not in said})
    return lambda: psycopg.connect(whole, autocommit=True)
