"""What a handler gets of the transaction: everything but the power to end it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any, ClassVar, TypeAlias

import psycopg
from psycopg import Connection, Cursor
from psycopg.pq import TransactionStatus
from psycopg.sql import Composable

from tocsin.guard._errors import TransactionMisuse
from tocsin.guard._held_cursors import HeldCursors
from tocsin.guard.stores.postgres._control import control_in
from tocsin.guard.stores.postgres._session import BlockingSession, Session, trouble_with, undoing
from tocsin.guard.stores.postgres._sqlstates import Trouble
from tocsin.guard.stores.postgres._talk import said

Parameters: TypeAlias = Sequence[object] | Mapping[str, object]
ALIVE = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR})


class Rows:
    """What a statement gave. It ends with the handler: read what you need before you return."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Cursor[Any]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed or returned; -1 for those that do neither."""
        return self._cursor.rowcount

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self._cursor.description or ())

    def fetchone(self) -> Any:  # noqa: ANN401  a row has the types of its query
        """The next row, or None."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        return self._cursor.fetchall()

    def fetchmany(self, size: int) -> list[Any]:
        """The next rows, so many at most."""
        return self._cursor.fetchmany(size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class Watched:
    """What a handler may do on a session, and when it may: for a thread or for a task.

    Args:
        session: on which the transaction is open.
        owner: whose it is.
    """

    __slots__ = ("_owner", "_session")
    _WHOSE: ClassVar[str]

    def __init__(self, session: Session, owner: object) -> None:
        self._session: Session | None = session
        self._owner = owner

    def end(self) -> None:
        """Called by the guard: the handler has ended, and with it everything that it got from here."""
        self._session = None

    def _live(self, caller: object) -> Session:
        session = self._session
        if session is None:
            raise TransactionMisuse("this transaction has ended with its handler; use it before the handler returns")
        if caller != self._owner:
            raise TransactionMisuse(f"this transaction belongs to {self._WHOSE}; use it there")
        if session.is_inherited:
            raise TransactionMisuse("this transaction belongs to the process that forked this one")
        return session

    @staticmethod
    def _permitted(session: Session, sql: str | Composable) -> str:
        """The statement, unless it would begin or end a transaction."""
        text = sql if isinstance(sql, str) else sql.as_string(session.connection)
        control = control_in(text)
        if control:
            session.broke = control
            raise TransactionMisuse(
                f"{control} is refused while a handler runs: its writes, the claim and the answer are one commit, "
                "which is the guard's; use tx.savepoint() to undo a part"
            )
        return text

    def _failed(self, error: psycopg.Error) -> None:
        """Remember whether a statement failed for the sake of another transaction."""
        if self._session is not None and trouble_with(error) is Trouble.CONFLICT:
            self._session.conflict = True


class Transaction(Watched):
    """The transaction in which the claim has been written and the answer will be.

    Whatever is written through it is committed with the answer, or not at all. It is for the thread of its handler, and
    ends with it.
    """

    __slots__ = ("_cursors", "_hold")
    _WHOSE = "the thread of its handler"

    def __init__(self, session: BlockingSession) -> None:
        super().__init__(session, get_ident())
        self._hold = session.hold
        self._cursors = HeldCursors()

    def execute(self, sql: str | Composable, parameters: Parameters = ()) -> Rows:
        """Run one statement; without parameters several, separated by semicolons.

        Args:
            sql: with %s or %(name)s for parameters, as psycopg spells them. Without parameters % means itself.
            parameters: the values.

        Raises:
            TransactionMisuse: the statement would begin or end a transaction, or the handler has ended.
            psycopg.Error: whatever the server says about the statement, after which nothing but undoing it is possible.
                Catch it outside `with tx.savepoint():`.
        """
        session = self._live(get_ident())
        text = self._permitted(session, sql)
        cursor = self._cursor(session)
        try:
            cursor.execute(text, parameters or None)
        except psycopg.Error as error:
            self._failed(error)
            raise
        return Rows(cursor)

    def executemany(self, sql: str | Composable, parameters: Iterable[Parameters]) -> Rows:
        """Run one statement for each of the parameters. Raises as `execute` does."""
        session = self._live(get_ident())
        text = self._permitted(session, sql)
        cursor = self._cursor(session)
        try:
            cursor.executemany(text, parameters)
        except psycopg.Error as error:
            self._failed(error)
            raise
        return Rows(cursor)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A block whose writes are undone if it raises; the way to catch an SQL error and go on."""
        session = self._live(get_ident())
        name = session.savepoint()
        self._hold(said(f"SAVEPOINT {name}"))
        try:
            yield
        except BaseException:
            if session.status in ALIVE:
                self._hold(said(undoing(name)))
                # Whoever catches the error now has made up for it.
                session.conflict = False
            raise
        self._hold(said(f"RELEASE {name}"))

    def end(self) -> None:
        """See Watched."""
        super().end()
        self._cursors.close()

    def _cursor(self, session: Session) -> Cursor[Any]:
        connection = session.connection
        assert isinstance(connection, Connection)
        cursor = connection.cursor()
        self._cursors.add(cursor)
        return cursor
