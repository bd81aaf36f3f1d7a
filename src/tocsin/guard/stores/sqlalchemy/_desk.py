"""Takes, keeps and undoes claims on connections of the application's engine, in SQLAlchemy's own blocking style.

Rule: written once. On an event loop the same runs in a greenlet, in which whatever waits for the database is awaited.
SQLAlchemy's own COMMIT keeps a claim: the answer is written at its "commit" event, so nothing of the application's
comes after it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import (
    CommitUnknown,
    GuardError,
    StoreError,
    StoreUnavailable,
    TransactionBroken,
    TransactionConflict,
)
from tocsin.guard._fork import process_here
from tocsin.guard._nested import refuse_itself
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.sqlalchemy._control import HELD, watch
from tocsin.guard.stores.sqlalchemy._work import Database, Work, blocking_driver_of

T = TypeVar("T")


class Held:
    """A claim that is being applied: its connection, and what the handler gets.

    Args:
        connection: of the engine, its transaction begun.
        work: the claim on it.
        claim: what was written.
        outer: what it is nested in, or None.

    Attributes:
        session: the application's session in it, or None.
        answer: what is being stored; None while the handler runs, which may not commit.
        is_undoing: whether the guard itself is rolling back.
        has_ended: whether it has been kept or undone.
    """

    def __init__(self, connection: Connection, work: Work, claim: Claim, outer: "Held | None") -> None:
        self.connection = connection
        self.work = work
        self.claim = claim
        self.outer = outer
        self.session: Session | None = None
        self.answer: StoredAnswer | None = None
        self.is_undoing = False
        self.has_ended = False
        self._process = process_here()

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked after the claim was taken, which is therefore its parent's."""
        return self._process is not process_here()


class Desk:
    """See the module.

    Args:
        engine: the application's.
        database: how its database is spoken to.
        makes_sessions: whether handlers get a session.
    """

    def __init__(self, engine: Engine, database: Database) -> None:
        self.engine = engine
        self.database = database
        event.listen(engine, "handle_error", _remember_error)

    def take(self, claim: Claim, deadline: float, outer: Held | None) -> Held | Record | Forgotten:
        """See Store.take; whoever calls has a place."""
        if outer is not None:
            return self._nest(outer, claim, deadline)
        connection = self._connected()
        try:
            with self._explained():
                connection.begin()
            work = self.database.take(connection, claim, deadline, self._apart, is_nested=False)
        except BaseException as error:
            _let_go(connection, is_usable=isinstance(error, Exception))
            raise
        if not isinstance(work, Work):
            _let_go(connection, is_usable=True)
            return work
        held = Held(connection, work, claim, None)
        watch(connection, held)
        work.judge(is_on=True)
        return held

    def advance(self, held: Held, deadline: float) -> bool:
        """See Granted.advance."""
        held.work.judge(is_on=False)
        try:
            return held.work.advance(deadline)
        finally:
            held.work.judge(is_on=True)

    def keep(self, held: Held, answer: StoredAnswer) -> None:
        """See Granted.settle."""
        is_usable = False
        try:
            self._check(held)
            self._flush(held)
            held.work.judge(is_on=False)
            if held.outer is None:
                self._commit(held, answer)
            else:
                held.work.keep(answer)
            is_usable = True
        except CommitUnknown:
            raise
        except BaseException:
            is_usable = self._undone(held)
            raise
        finally:
            self._leave(held, is_usable=is_usable)

    def undo(self, held: Held) -> None:
        """See Granted.abandon."""
        is_usable = False
        try:
            is_usable = self._undone(held)
        finally:
            self._leave(held, is_usable=is_usable)

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        return self._apart(lambda connection: self.database.look(connection, key))

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        return self._apart(lambda connection: self.database.sweep(connection, now_unix_ms))

    def migrate(self) -> None:
        """See SQLAlchemyStore."""
        self._apart(self.database.migrate)

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        if isinstance(error, PoolTimeoutError):
            return True
        original = error.orig if isinstance(error, DBAPIError) else error
        return original is not None and self.database.is_down(original)

    def _nest(self, outer: Held, claim: Claim, deadline: float) -> Held | Record | Forgotten:
        refuse_itself(outer, claim)
        self._check(outer)
        if outer.session is not None:
            # What it has not written yet would come after the savepoint, and be undone with it.
            with self._explained():
                outer.session.flush()
        outer.work.judge(is_on=False)
        try:
            work = self.database.take(outer.connection, claim, deadline, self._apart, is_nested=True)
        finally:
            outer.work.judge(is_on=True)
        return Held(outer.connection, work, claim, outer) if isinstance(work, Work) else work

    def _connected(self) -> Connection:
        with self._explained():
            connection = self.engine.connect()
        driver = blocking_driver_of(connection)
        if getattr(driver, "autocommit", False) is True or _autocommits(driver):
            connection.close()
            raise GuardError("a connection of the engine is in autocommit: there is no transaction; wanted any level")
        return connection

    def _apart(self, do: Callable[[Connection], T], /) -> T:
        connection = self._connected()
        try:
            ended = do(connection)
        except BaseException as error:
            _let_go(connection, is_usable=isinstance(error, Exception))
            raise
        _let_go(connection, is_usable=True)
        return ended

    def _check(self, held: Held) -> None:
        if held.is_inherited:
            raise StoreUnavailable("this process was forked while the handler ran; the transaction is its parent's")
        if held.work.broke:
            raise TransactionBroken(f"it tried {held.work.broke}")
        if held.connection.closed or held.connection.invalidated:
            raise StoreUnavailable("the connection was lost while the handler ran; nothing was committed")

    def _flush(self, held: Held) -> None:
        """Have the session write what it still has, and end its savepoint."""
        if held.session is None:
            return
        try:
            held.session.commit()
            held.session.close()
        except SQLAlchemyError as error:
            raise self._not_flushed(held, error) from error
        self._check(held)

    def _not_flushed(self, held: Held, error: SQLAlchemyError) -> StoreError:
        if held.work.conflicts(error):
            return TransactionConflict("what its session still had to write conflicts with another transaction")
        if self.is_own_failure(error):
            return StoreUnavailable(_text(error))
        return TransactionBroken(f"what its session still had to write is refused: {_text(error)}")

    def _commit(self, held: Held, answer: StoredAnswer) -> None:
        transaction = held.connection.get_transaction()
        if transaction is None or not transaction.is_active:
            raise TransactionBroken("its transaction does not stand any more")
        held.answer = answer
        try:
            transaction.commit()
        except DBAPIError as error:
            raise held.work.not_committed(error.orig or error) from error
        except SQLAlchemyError as error:
            raise TransactionBroken(_text(error)) from error

    def _undone(self, held: Held) -> bool:
        held.is_undoing = True
        try:
            if held.is_inherited:
                return False
            if held.session is not None:
                # Its own savepoint may have gone with the transaction.
                with suppress(SQLAlchemyError):
                    held.session.close()
            held.work.judge(is_on=False)
            is_lost = held.connection.closed or held.connection.invalidated
            return not is_lost and held.work.undo()
        finally:
            held.is_undoing = False

    def _leave(self, held: Held, *, is_usable: bool) -> None:
        held.has_ended = True
        if held.outer is None:
            if not held.is_inherited:
                held.is_undoing = True
                _let_go(held.connection, is_usable=is_usable)
            return
        held.outer.work.judge(is_on=True)
        if not is_usable:
            held.outer.work.broke = "to go on after a nested operation that cannot be undone"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeoutError as error:
            raise StoreUnavailable(f"all connections of the engine's pool were in use: {_text(error)}") from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(_text(error)) from error


def _remember_error(context: Any) -> None:  # noqa: ANN401  SQLAlchemy's ExceptionContext
    """A statement failed somewhere on the engine; perhaps in a guarded transaction."""
    if context.connection is None or context.original_exception is None:
        return
    held: Held | None = context.connection.get_execution_options().get(HELD)
    if held is not None:
        held.work.failed(context.original_exception)


def _let_go(connection: Connection, *, is_usable: bool) -> None:
    """Give the connection back to its pool; or, where nobody knows what is on it, close it."""
    with suppress(SQLAlchemyError):
        if not is_usable and not connection.closed:
            connection.invalidate()
    with suppress(SQLAlchemyError):
        connection.close()


def _autocommits(driver: Any) -> bool:  # noqa: ANN401  PyMySQL's and aiomysql's
    asked = getattr(driver, "get_autocommit", None)
    return callable(asked) and bool(asked())


def _text(error: SQLAlchemyError) -> str:
    """Without the statement, its values and a link, which SQLAlchemy appends."""
    original = error.orig if isinstance(error, DBAPIError) else None
    return str(original if original is not None else error).partition("\n")[0]
