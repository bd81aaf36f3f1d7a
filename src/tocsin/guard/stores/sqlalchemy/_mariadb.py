"""Claims on MariaDB through a connection of SQLAlchemy's: what MariaDBStore says, one statement at a time."""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import pymysql
from sqlalchemy import Connection

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown, StoreError, StoreUnavailable, TransactionBroken
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard._talks import performed
from tocsin.guard.stores.mariadb import _claims, _schema
from tocsin.guard.stores.mariadb._blocking import executed
from tocsin.guard.stores.mariadb._claims import Written
from tocsin.guard.stores.mariadb._control import control_in
from tocsin.guard.stores.mariadb._ending import Ending
from tocsin.guard.stores.mariadb._errands import DECLARES
from tocsin.guard.stores.mariadb._errnos import NO_SUCH_SAVEPOINT, Trouble
from tocsin.guard.stores.mariadb._session import Session, errno_of, text_of, trouble_with
from tocsin.guard.stores.mariadb._settings import greeting
from tocsin.guard.stores.mariadb._taking import Taking, undone
from tocsin.guard.stores.mariadb._talk import Say, Step, Talk, said
from tocsin.guard.stores.sqlalchemy._work import Apart, Database, Wait, Work, blocking_driver_of, driver_of

T = TypeVar("T")
_GIVE_WAY_S = 0.1


class PooledSession(Session):
    """A connection of the application's engine."""

    def __init__(self, connection: Connection, most_octets: int) -> None:
        super().__init__(driver_of(connection))
        self._blocking = blocking_driver_of(connection)
        self.most_octets = most_octets

    @property
    def takes_many(self) -> bool:
        """Whatever the driver would take: SQLAlchemy reads one result of a message."""
        return False

    def hold(self, talk: Talk[T]) -> T:
        """Hold a talk of MariaDBStore's on the connection."""
        return performed(talk, self._perform)

    def _perform(self, step: Step) -> object:
        assert isinstance(step, Say), "the engine has the connections"
        cursor = self._blocking.cursor()
        try:
            return executed(cursor, step)
        finally:
            cursor.close()


class MariaDBWork(Work):
    """See Work."""

    def __init__(self, session: PooledSession, ending: Ending, claim: Claim, written: Written) -> None:
        self._session = session
        self._ending = ending
        self._claim = claim
        self._release = f"RELEASE SAVEPOINT {written.savepoint}"
        self._has_waited_in_vain = False

    def advance(self, deadline: float) -> bool:
        """See Work."""
        return self._session.hold(self._ending.advancing(deadline - monotonic()))

    def keep(self, answer: StoredAnswer) -> None:
        """See Work. COMMIT itself is SQLAlchemy's."""
        self._session.broke = self._session.broke or self.broke
        if self._ending.is_nested:
            try:
                self._session.hold(self._ending.settling(answer))
            finally:
                self._is_usable = self._ending.is_usable
            return
        self._ending.check(answer)
        self._written(answer)

    def _undone(self) -> bool:
        """See Work."""
        self._session.hold(self._ending.abandoning())
        return self._ending.is_usable

    def conflicts(self, error: BaseException | None) -> bool:
        """See Work."""
        return self._ending.conflicts(error)

    def not_committed(self, error: BaseException) -> StoreError:
        """See Work."""
        return self._ending.not_kept(error) if isinstance(error, pymysql.Error) else CommitUnknown(str(error))

    def failed(self, error: BaseException) -> None:
        """See Work. Nothing makes up for a deadlock: all of the transaction is undone."""
        trouble = trouble_with(error)
        if trouble is Trouble.CONFLICT:
            self._session.undone = trouble
        self._has_waited_in_vain = self._has_waited_in_vain or trouble is Trouble.UNAVAILABLE

    def control_in(self, sql: str, /) -> str:
        """See Work."""
        return control_in(sql)

    def _written(self, answer: StoredAnswer) -> None:
        statements = (self._release, _claims.answering(self._claim, answer))
        try:
            replies = self._session.hold(said(Say(self._session, statements)))
        except pymysql.Error as error:
            if self._has_waited_in_vain and errno_of(error) == NO_SUCH_SAVEPOINT:
                # innodb_rollback_on_timeout
                raise StoreUnavailable("the server undid the transaction while the handler ran") from error
            if self._session.is_lost:
                raise StoreUnavailable(f"the connection was lost before COMMIT: {text_of(error)}") from error
            raise self._ending.not_kept(error) from error
        if replies[-1].count != 1:
            raise TransactionBroken("its claim is not there any more")


class MariaDBDatabase(Database):
    """See Database."""

    declares = DECLARES

    def __init__(self, wait: Wait | None) -> None:
        super().__init__(wait)
        self._most_octets = 0

    def take(
        self, connection: Connection, claim: Claim, deadline: float, apart: Apart, *, is_nested: bool
    ) -> Work | Record | Forgotten:
        """See Database."""
        session = self._session(connection)

        def another(talk: Callable[[Session], Talk[T]]) -> Talk[T]:
            yield from ()
            return apart(lambda other: self._said(other, talk))

        savepoint = session.savepoint() if is_nested else None
        taken = session.hold(Taking(session, claim, deadline, another, savepoint=savepoint).talk())
        if not isinstance(taken, Written):
            return taken
        return MariaDBWork(session, Ending(session, claim, taken, is_nested=is_nested), claim, taken)

    def look(self, connection: Connection, key: bytes) -> Record | None:
        """See Database."""
        return self._said(connection, lambda session: _claims.reading(session, key, None))

    def sweep(self, connection: Connection, now_unix_ms: int) -> int:
        """See Database."""
        until = monotonic() + _GIVE_WAY_S
        return self._said(connection, lambda session: _claims.sweeping(session, now_unix_ms, until))

    def migrate(self, connection: Connection) -> None:
        """See Database."""
        self._said(connection, _schema.migrating)

    def is_down(self, error: BaseException) -> bool:
        """See Database."""
        return trouble_with(error) is Trouble.UNAVAILABLE

    def _session(self, connection: Connection) -> PooledSession:
        session = PooledSession(connection, self._most_octets)
        if not self._most_octets:
            try:
                session.hold(greeting(session, None))
            except pymysql.Error as error:
                raise StoreUnavailable(text_of(error)) from error
            self._most_octets = session.most_octets
        return session

    def _said(self, connection: Connection, talk: Callable[[Session], Talk[T]]) -> T:
        session = self._session(connection)
        try:
            return session.hold(talk(session))
        except pymysql.Error as error:
            session.hold(undone(session, None))
            raise StoreUnavailable(text_of(error)) from error
