"""SQLAlchemyStore: claims in the application's own database, through the application's own engine.

Rule: the guard opens the connection and the transaction, and the application's session joins them. What a handler
writes through any other session of the application's is not covered.
"""

from collections.abc import Callable
from threading import local
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard._fork import renew_in_children
from tocsin.guard._store import Claim, Declares, Forgotten, Granted, Record
from tocsin.guard._turn import Turn
from tocsin.guard.stores.sqlalchemy._control import watch_session
from tocsin.guard.stores.sqlalchemy._desk import Desk, Held
from tocsin.guard.stores.sqlalchemy._source import database_of, engine_of, most_connections, session_on

T = TypeVar("T")


class Unit(Granted[Any]):
    """One granted claim of a thread: what the handler gets is the application's Session, or a Connection.

    Args:
        finish: called when the unit has ended.
        desk: which ends it.
        held: the claim.
    """

    __slots__ = ("_desk", "_finish", "held")

    def __init__(self, finish: "Callable[[Unit], None]", desk: Desk, held: Held) -> None:
        self._finish = finish
        self._desk = desk
        self.held = held

    @property
    def tx(self) -> Any:  # noqa: ANN401  the application's own class
        """The handler's side of it."""
        return self.held.connection if self.held.session is None else self.held.session

    def advance(self, wait_s: float) -> bool:
        """See Granted."""
        return self._desk.advance(self.held, monotonic() + wait_s)

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        try:
            self._desk.keep(self.held, answer)
        finally:
            self._finish(self)

    def abandon(self) -> None:
        """See Granted."""
        try:
            self._desk.undo(self.held)
        finally:
            self._finish(self)

    def conflicts(self, error: BaseException | None) -> bool:
        """See Granted."""
        return self.held.work.conflicts(error)


class SQLAlchemyStore:
    """Claims, answers and the application's tables in one database: SQLite, PostgreSQL or MariaDB.

    The tables are those of SQLiteStore, PostgresStore and MariaDBStore, so services that use those share the claims.

    Args:
        source: the application's engine, for handlers that get a Connection; or its sessionmaker, for handlers that
            get a Session.
        max_connections: how many of the engine's connections guarded requests of a process may hold at most; the rest
            wait in the order of arrival, without one. By default as many as its pool keeps; on SQLite there is one
            writer in any case.

    Raises:
        GuardError: the source is none that one transaction covers.
    """

    def __init__(self, source: "Engine | sessionmaker[Any]", *, max_connections: int | None = None) -> None:
        if max_connections is not None and max_connections < 1:
            raise GuardError(f"max_connections = {max_connections!r}; wanted 1 or more")
        engine = engine_of(source)
        self._source = source
        self._desk = Desk(engine, database_of(engine, None))
        most = max_connections or most_connections(engine)
        self._places = Turn(self._desk.database.most_writers or most)
        self._local = local()
        renew_in_children(self)

    @property
    def declares(self) -> Declares:
        """See Store."""
        return self._desk.database.declares

    def migrate(self) -> None:
        """Create what is missing of the guard's tables.

        Raises:
            StoreUnavailable: the database cannot be reached, or does not permit it.
        """
        self._desk.migrate()

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        return self._desk.look(key)

    def is_inside(self) -> bool:
        """See Store."""
        return self._current() is not None

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store."""
        deadline = monotonic() + wait_s
        outer = self._current()
        if outer is None and not self._places.take(wait_s):
            raise StoreUnavailable(f"all places for guarded requests were taken for {wait_s:.3g} s")
        try:
            held = self._desk.take(claim, deadline, None if outer is None else outer.held)
        except BaseException:
            self._leave(outer)
            raise
        if not isinstance(held, Held):
            self._leave(outer)
            return held
        unit = Unit(self._finish, self._desk, held)
        self._local.units = (*self._units(), unit)
        try:
            self._open_session(held)
        except BaseException:
            # The application's own class: its constructor may want a tenant, which this request has not.
            unit.abandon()
            raise
        return unit

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return self._desk.is_own_failure(error)

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        return self._desk.sweep(now_unix_ms)

    def close(self) -> None:
        """See Store. The engine is the application's, and stays as it is."""

    def renew_after_fork(self) -> None:
        """See Renewable."""
        # As SQLAlchemy's documentation has it: a new pool, and not a word on the parent's connections.
        self._desk.engine.dispose(close=False)
        self._local = local()

    def _open_session(self, held: Held) -> None:
        if isinstance(self._source, sessionmaker):
            held.session = session_on(self._source, held.connection)
            watch_session(held.session, held)

    def _units(self) -> tuple[Unit, ...]:
        units: tuple[Unit, ...] = getattr(self._local, "units", ())
        return units

    def _current(self) -> Unit | None:
        units = self._units()
        return units[-1] if units else None

    def _finish(self, unit: Unit) -> None:
        self._local.units = tuple([other for other in self._units() if other is not unit])
        if not unit.held.is_inherited:
            self._leave(self._current())

    def _leave(self, outer: Unit | None) -> None:
        if outer is None:
            self._places.pass_on()
