"""Claims on PostgreSQL through a connection of SQLAlchemy's: what PostgresStore says, said on psycopg's connection."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

import psycopg
from sqlalchemy import Connection
from sqlalchemy.util import greenlet_spawn

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown, StoreError, StoreUnavailable
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.postgres import _claims, _schema
from tocsin.guard.stores.postgres._async_session import AsyncSession
from tocsin.guard.stores.postgres._claims import Written
from tocsin.guard.stores.postgres._control import control_in
from tocsin.guard.stores.postgres._ending import Ending
from tocsin.guard.stores.postgres._phrases import Phrase
from tocsin.guard.stores.postgres._session import BlockingSession, Session, trouble_with
from tocsin.guard.stores.postgres._settings import Settings
from tocsin.guard.stores.postgres._sqlstates import Trouble
from tocsin.guard.stores.postgres._taking import taking
from tocsin.guard.stores.postgres._talk import Aside, Talk
from tocsin.guard.stores.sqlalchemy._work import Apart, Database, Work, driver_of

T = TypeVar("T")
_GIVE_WAY_S = 0.1


class PostgresWork(Work):
    """See Work. Its end is one message with COMMIT in it, so that COMMIT is believed by its tag alone."""

    def __init__(self, database: "PostgresDatabase", session: Session, ending: Ending) -> None:
        self._database = database
        self._session = session
        self._ending = ending

    def advance(self, deadline: float) -> bool:
        """See Work."""
        return self._database.hold(self._session, self._ending.advancing(deadline - monotonic()))

    def keep(self, answer: StoredAnswer) -> None:
        """See Work; and commit."""
        self._session.broke = self._session.broke or self.broke
        try:
            self._database.hold(self._session, self._ending.settling(answer), is_shielded=True)
        finally:
            self._is_usable = self._ending.is_usable

    def _undone(self) -> bool:
        """See Work."""
        self._database.hold(self._session, self._ending.abandoning(), is_shielded=True)
        return self._ending.is_usable

    def conflicts(self, error: BaseException | None) -> bool:
        """See Work."""
        return self._ending.conflicts(error)

    def not_committed(self, error: BaseException) -> StoreError:
        """See Work."""
        return CommitUnknown(str(error))

    def failed(self, error: BaseException) -> None:
        """See Work."""
        if trouble_with(error) is Trouble.CONFLICT:
            self._session.conflict = True

    def made_up_for(self) -> None:
        """See Work."""
        self._session.conflict = False

    def control_in(self, sql: str, /) -> str:
        """See Work."""
        return control_in(sql)


class PostgresDatabase(Database):
    """See Database."""

    declares = Declares(atomic=True, durable=True, cross_process=True, looks_first=False, ordered=True)

    def take(
        self, connection: Connection, claim: Claim, deadline: float, apart: Apart, *, is_nested: bool
    ) -> Work | Record | Forgotten:
        """See Database."""
        session = self._session(connection)
        savepoint = session.savepoint() if is_nested else None
        talk = taking(session, claim, deadline, savepoint=savepoint)
        taken = self.hold(session, talk, elsewhere=lambda aside: apart(lambda other: self._aside(other, aside)))
        if not isinstance(taken, Written):
            return taken
        return PostgresWork(self, session, Ending(session, claim, taken, savepoint))

    def look(self, connection: Connection, key: bytes) -> Record | None:
        """See Database."""
        return self._said(connection, lambda session: _claims.reading(session, key))

    def sweep(self, connection: Connection, now_unix_ms: int) -> int:
        """See Database."""
        return self._said(connection, lambda _: _claims.sweeping(now_unix_ms, _GIVE_WAY_S))

    def migrate(self, connection: Connection) -> None:
        """See Database."""
        self._said(connection, lambda _: _schema.migrating())

    def is_down(self, error: BaseException) -> bool:
        """See Database."""
        return trouble_with(error) is Trouble.UNAVAILABLE

    def hold(
        self,
        session: Session,
        talk: Talk[T],
        *,
        elsewhere: Callable[[Aside], object] | None = None,
        is_shielded: bool = False,
    ) -> T:
        """Hold a talk of PostgresStore's on the connection."""
        if isinstance(session, BlockingSession):
            return session.hold(talk, elsewhere=elsewhere)
        assert isinstance(session, AsyncSession)
        assert self.wait is not None

        def elsewhere_async(aside: Aside) -> Awaitable[object]:
            assert elsewhere is not None
            return greenlet_spawn(elsewhere, aside)

        ended: T = self.wait(session.hold(talk, elsewhere=elsewhere_async, is_shielded=is_shielded))
        return ended

    def _session(self, connection: Connection) -> Session:
        driver = driver_of(connection)
        session = BlockingSession(driver) if self.wait is None else AsyncSession(driver)
        level = driver.isolation_level
        begin = "BEGIN" if level is None else f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}"
        # The connection is the application's, perhaps through a pooler: nothing is set on it or prepared.
        session.know(Settings(Phrase("begin", begin), is_pooled=True))
        return session

    def _aside(self, connection: Connection, aside: Aside) -> object:
        return self._said(connection, aside.talk)

    def _said(self, connection: Connection, talk: Callable[[Session], Talk[T]]) -> T:
        session = self._session(connection)
        try:
            return self.hold(session, talk(session))
        except psycopg.Error as error:
            self.hold(session, session.undone(None))
            raise StoreUnavailable(error.diag.message_primary or str(error)) from error
