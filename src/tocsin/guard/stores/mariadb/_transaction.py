"""What a handler gets of the transaction: everything but the power to end it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any, ClassVar, TypeAlias

import pymysql
from pymysql.cursors import Cursor

from tocsin.guard._errors import TransactionMisuse
from tocsin.guard._fetched_rows import Ends, FetchedRows
from tocsin.guard.stores.mariadb._claims import undoing
from tocsin.guard.stores.mariadb._control import control_in, is_one
from tocsin.guard.stores.mariadb._errnos import Trouble
from tocsin.guard.stores.mariadb._session import Session, trouble_with

Parameters: TypeAlias = Sequence[object] | Mapping[str, object]


class Rows(FetchedRows):
    """What a statement gave; see FetchedRows."""

    __slots__ = ("lastrowid",)

    def __init__(self, cursor: Any, rows: Iterable[Any], transaction: Ends) -> None:  # noqa: ANN401  PyMySQL's or aiomysql's
        super().__init__(cursor, rows, transaction)
        self.lastrowid: int | None = cursor.lastrowid


class Watched:
    """What a handler may do on a session, and when it may: for a thread or for a task.

    Args:
        session: on which the transaction is open.
        owner: whose it is.
    """

    __slots__ = ("_owner", "_session", "has_ended")
    _WHOSE: ClassVar[str]

    def __init__(self, session: Session, owner: object) -> None:
        self._session = session
        self._owner = owner
        self.has_ended = False

    def end(self) -> None:
        """Called by the guard: the handler has ended, and with it everything that it got from here."""
        self.has_ended = True

    def _live(self, caller: object) -> Session:
        session = self._session
        if self.has_ended:
            raise TransactionMisuse("this transaction has ended with its handler; use it before the handler returns")
        if caller != self._owner:
            raise TransactionMisuse(f"this transaction belongs to {self._WHOSE}; use it there")
        if session.is_inherited:
            raise TransactionMisuse("this transaction belongs to the process that forked this one")
        if session.undone is not None or session.broke:
            # Whatever is written now would be in another transaction.
            raise TransactionMisuse("the server has undone or ended this transaction: let the error out of the handler")
        return session

    @staticmethod
    def _permitted(session: Session, sql: str) -> str:
        """The statement, unless it would begin or end a transaction."""
        control = control_in(sql)
        if control:
            session.broke = control
            raise TransactionMisuse(
                f"{control} is refused while a handler runs: its writes, the claim and the answer are one commit, "
                "which is the guard's; use tx.savepoint() to undo a part"
            )
        if not is_one(sql):
            # The connection would take it, for the guard's own messages; what is injected into a text must not.
            raise TransactionMisuse("several statements in one text are refused; wanted: one execute() for each")
        return sql

    @staticmethod
    def _stands(session: Session) -> None:
        """Whether the transaction does, by the server's last answer."""
        if not session.is_in_transaction:
            session.broke = "a statement that ended its transaction"
            raise TransactionMisuse("this statement has ended the transaction (DDL, or a procedure that commits)")

    @staticmethod
    def _failed(session: Session, error: pymysql.Error) -> bool:
        """Remember that the transaction is undone; False: the server has to be asked."""
        trouble = trouble_with(error)
        if trouble is Trouble.CONFLICT:
            session.undone = trouble
        return trouble is Trouble.CONFLICT or session.is_lost

    @staticmethod
    def _asked(session: Session) -> None:
        """The server has been asked after an error: innodb_rollback_on_timeout undoes everything, for instance."""
        if not session.is_in_transaction:
            session.undone = Trouble.UNAVAILABLE


class Transaction(Watched):
    """The transaction in which the claim has been written and the answer will be.

    Whatever is written through it is committed with the answer, or not at all. It is for the thread of its handler, and
    ends with it.
    """

    __slots__ = ()
    _WHOSE = "the thread of its handler"

    def __init__(self, session: Session) -> None:
        super().__init__(session, get_ident())

    def execute(self, sql: str, parameters: Parameters = ()) -> Rows:
        """Run one statement.

        Args:
            sql: with %s or %(name)s for parameters, as PyMySQL spells them. Without parameters % means itself.
            parameters: the values.

        Raises:
            TransactionMisuse: the statement would begin or end a transaction, or has; there are several; or the handler
                has ended.
            pymysql.Error: whatever the server says about the statement. The statement is undone and the transaction
                stands, unless it was a deadlock, after which nothing more can be written.
        """
        return self._run(sql, lambda cursor, text: cursor.execute(text, parameters or None))

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Rows:
        """Run one statement for each of the parameters. Raises as `execute` does."""
        return self._run(sql, lambda cursor, text: cursor.executemany(text, list(parameters)))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A block whose writes are undone if it raises; the way to catch an SQL error and undo what led to it."""
        session = self._live(get_ident())
        name = session.savepoint()
        self._say(session, f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            if session.undone is None and not session.broke and not session.is_lost:
                for statement in undoing(name):
                    self._say(session, statement)
            raise
        self._say(session, f"RELEASE SAVEPOINT {name}")

    def _say(self, session: Session, statement: str) -> None:
        self._checked(session, lambda cursor: cursor.execute(statement))

    def _run(self, sql: str, execute: Any) -> Rows:  # noqa: ANN401  a function of a cursor and a text
        session = self._live(get_ident())
        text = self._permitted(session, sql)
        cursor = self._checked(session, lambda cursor: execute(cursor, text))
        # The whole result is here by now.
        return Rows(cursor, cursor.fetchall() if cursor.description else (), self)

    def _checked(self, session: Session, execute: Any) -> "Cursor":  # noqa: ANN401  a function of a cursor
        cursor: Cursor = session.connection.cursor()
        try:
            execute(cursor)
        except pymysql.Error as error:
            if not self._failed(session, error):
                session.connection.ping(reconnect=False)
                self._asked(session)
            raise
        self._stands(session)
        return cursor
