"""MariaDBStore: claims in the application's own MariaDB database.

Rule: the primary key decides who is granted, in all processes and on all machines. Whoever comes second waits in the
server, inside its INSERT, until the first one has committed or rolled back; so nothing here is a lock that somebody
could forget to release.
"""

from collections.abc import Callable
from functools import partial
from threading import local
from typing import Any

import pymysql
from pymysql import Connection
from pymysql.constants import CLIENT

from tocsin.guard._fork import renew_in_children
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard._talks import performed
from tocsin.guard.stores.mariadb import _errands, _options
from tocsin.guard.stores.mariadb._blocking import Blocking
from tocsin.guard.stores.mariadb._connections import Connections
from tocsin.guard.stores.mariadb._errnos import Trouble
from tocsin.guard.stores.mariadb._session import trouble_with
from tocsin.guard.stores.mariadb._unit import Unit


class MariaDBStore:
    """Claims, answers and the application's tables in one MariaDB database.

    Nothing is connected before it is used, and the tables are made by `migrate`, once.

    Args:
        url: the database, "mariadb://user:password@host:3306/database"; or a function that opens a PyMySQL connection,
            for cursor classes, converters, TLS and isolation levels. What it opens is the store's.
        max_connections: how many a process opens at most: one for each handler that runs at the same time. A request
            that finds all of them in use waits its turn.
        idle_s: a handler that does nothing in its transaction for longer is rolled back by the server, so that its key
            and its locks become free; in whole seconds.

    Raises:
        GuardError: an argument is refused.
    """

    declares = _errands.DECLARES

    def __init__(
        self,
        url: "str | Callable[[], Connection[Any]]",
        *,
        max_connections: int = _options.MAX_CONNECTIONS,
        idle_s: float = _options.IDLE_S,
    ) -> None:
        _options.check(max_connections, idle_s)
        connect = url
        if isinstance(connect, str):
            connect = partial(pymysql.connect, client_flag=CLIENT.MULTI_STATEMENTS, **_options.arguments(connect))
        self._connections = Connections(max_connections, idle_s)
        self._perform = Blocking(self._connections, connect)
        self._local = local()
        renew_in_children(self)

    def migrate(self) -> None:
        """Create what is missing of the guard's tables; schema_sql() is what this runs.

        Raises:
            StoreUnavailable: the server cannot be reached, does not permit it, or others held its locks for too long.
        """
        performed(_errands.migrating(self._connections), self._perform)

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        return performed(_errands.looking(self._connections, key), self._perform)

    def is_inside(self) -> bool:
        """See Store."""
        return self._current() is not None

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store."""
        outer = self._current()
        taken = performed(_errands.taking(self._connections, claim, wait_s, outer), self._perform)
        if isinstance(taken, Record | Forgotten):
            return taken
        session, ending = taken
        unit = Unit(self._finish, self._perform, session, claim, ending=ending, outer=outer)
        self._local.unit = unit
        return unit

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return trouble_with(error) is Trouble.UNAVAILABLE

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        return performed(_errands.sweeping(self._connections, now_unix_ms), self._perform)

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

    def _finish(self, unit: Unit) -> None:
        self._local.unit = unit.outer
        self._connections.stack.finish(unit.session, is_usable=unit.ending.is_usable, is_nested=unit.outer is not None)
