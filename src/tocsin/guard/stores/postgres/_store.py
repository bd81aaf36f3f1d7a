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

from tocsin.guard._fork import renew_in_children
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.postgres import _claims, _options, _schema
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._connections import LATE_S, Connections
from tocsin.guard.stores.postgres._nesting import savepoint_in
from tocsin.guard.stores.postgres._session import trouble_with
from tocsin.guard.stores.postgres._sqlstates import Trouble
from tocsin.guard.stores.postgres._taking import taking
from tocsin.guard.stores.postgres._talk import Aside
from tocsin.guard.stores.postgres._unit import Unit

DECLARES = Declares(atomic=True, durable=True, cross_process=True, looks_first=False, ordered=True)


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

    declares = DECLARES

    def __init__(
        self,
        conninfo: str | Callable[[], Connection[Any]],
        *,
        max_connections: int = _options.MAX_CONNECTIONS,
        idle_s: float = _options.IDLE_S,
    ) -> None:
        _options.check(max_connections, idle_s)
        if isinstance(conninfo, str):
            conninfo = partial(psycopg.connect, _options.whole(conninfo), autocommit=True)
        self._connections = Connections(conninfo, max_connections, idle_s)
        self._local = local()
        renew_in_children(self)

    def migrate(self) -> None:
        """Create what is missing of the guard's tables; schema_sql() is what this runs.

        Raises:
            StoreUnavailable: the server cannot be reached, does not permit it, or others held its locks for too long.
        """
        deadline = monotonic() + _options.LOOK_WAIT_S
        self._connections.say(lambda _: _schema.migrating(), deadline, is_patient=True)

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        deadline = monotonic() + _options.LOOK_WAIT_S
        return self._connections.say(lambda session: _claims.reading(session, key), deadline)

    def is_inside(self) -> bool:
        """See Store."""
        return self._current() is not None

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store."""
        deadline = monotonic() + wait_s
        outer = self._current()
        if outer is not None:
            return self._nest(outer, claim, deadline)
        session, taken = self._connections.first(
            lambda session: taking(session, claim, deadline, savepoint=None), deadline
        )
        if not isinstance(taken, Written):
            self._connections.stack.give_back(session)
            return taken
        return self._granted(Unit(self._finish, session, claim, taken))

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return trouble_with(error) is Trouble.UNAVAILABLE

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        give_way_s = _options.GIVE_WAY_S
        deadline = monotonic() + give_way_s
        return self._connections.say(lambda _: _claims.sweeping(now_unix_ms, give_way_s), deadline)

    def close(self) -> None:
        """See Store. Connections that a handler is using are kept until the store is closed again."""
        self._connections.stack.close()

    def renew_after_fork(self) -> None:
        """See Renewable."""
        self._connections.stack.disown()
        self._local = local()

    def _current(self) -> Unit | None:
        unit: Unit | None = getattr(self._local, "unit", None)
        return unit

    def _granted(self, unit: Unit) -> Unit:
        self._local.unit = unit
        return unit

    def _finish(self, unit: Unit) -> None:
        self._local.unit = unit.outer
        self._connections.stack.finish(unit.session, is_usable=unit.ending.is_usable, is_nested=unit.outer is not None)

    def _nest(self, outer: Unit, claim: Claim, deadline: float) -> Unit | Record | Forgotten:
        session = outer.session
        savepoint = savepoint_in(outer, claim)
        talk = taking(session, claim, deadline, savepoint=savepoint)
        taken = session.hold(talk, until=deadline + LATE_S, elsewhere=self._elsewhere)
        if not isinstance(taken, Written):
            return taken
        return self._granted(Unit(self._finish, session, claim, taken, savepoint=savepoint, outer=outer))

    def _elsewhere(self, aside: Aside) -> object:
        return self._connections.say(aside.talk, aside.deadline)
