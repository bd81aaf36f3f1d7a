"""Claims in a SQLite file through a connection of SQLAlchemy's: what SQLiteStore writes, in a transaction that is real.

Rule: pysqlite begins only before a statement that writes, and lets a SELECT or a SAVEPOINT stand outside of any
transaction. So the guard begins itself, with the write lock: two that read first and write then would both fail.
"""

import secrets
import sqlite3
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError, StoreError, StoreUnavailable, TransactionBroken
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.sqlalchemy._work import Apart, Database, Work, blocking_driver_of, driver_of
from tocsin.guard.stores.sqlite import _claims, _sequences
from tocsin.guard.stores.sqlite._authorizer import Authorizer
from tocsin.guard.stores.sqlite._codes import is_down, not_committed
from tocsin.guard.stores.sqlite._schema import TABLES

_JUDGE = "tocsin.authorizer"
_FULL = 2


class _Executing:
    """The part of sqlite3.Connection that SQLiteStore's statements need, over the driver as SQLAlchemy uses it."""

    def __init__(self, connection: Connection) -> None:
        self._driver = blocking_driver_of(connection)

    def execute(self, sql: str, values: Any = ()) -> Any:  # noqa: ANN401  sqlite3's own
        """See sqlite3.Connection.execute."""
        cursor = self._driver.cursor()
        cursor.execute(sql, values)
        return cursor


class SQLiteWork(Work):
    """See Work."""

    def __init__(self, executing: _Executing, connection: Connection, claim: Claim, *, is_nested: bool) -> None:
        self._executing = executing
        self._driver = driver_of(connection)
        self._judge: Authorizer = connection.info[_JUDGE]
        self._claim = claim
        self._is_nested = is_nested
        self._savepoint = f"tocsin_{secrets.token_hex(8)}"

    def begin(self) -> None:
        """Open the savepoint, which no transaction but the claim's own has. Raises sqlite3.Error."""
        self._executing.execute(f"SAVEPOINT {self._savepoint}")

    def advance(self, deadline: float) -> bool:  # noqa: ARG002  whoever is here has the lock
        """See Work."""
        try:
            return _sequences.advance(self._executing, self._claim)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the sequence number cannot be stored: {_remedy(error)}") from error

    def keep(self, answer: StoredAnswer) -> None:
        """See Work. COMMIT itself is SQLAlchemy's."""
        broke = self.broke or self._judge.broke
        if broke:
            raise TransactionBroken(f"it tried {broke}")
        try:
            if not _claims.settle(self._executing, self._claim, answer):
                raise TransactionBroken("its claim is not there any more")
            self._executing.execute(f"RELEASE {self._savepoint}")
        except sqlite3.Error as error:
            raise (StoreUnavailable if is_down(error) else TransactionBroken)(str(error)) from error

    def _undone(self) -> bool:
        """See Work."""
        undoing = (f"ROLLBACK TO {self._savepoint}", f"RELEASE {self._savepoint}") if self._is_nested else ("ROLLBACK",)
        self.judge(is_on=False)
        try:
            for statement in undoing:
                if self._driver.in_transaction:
                    self._executing.execute(statement)
        except sqlite3.Error as error:
            _log.store_notice(self._claim.operation, f"it cannot be undone: {error}")
            return False
        return True

    def conflicts(self, _error: BaseException | None) -> bool:
        """See Work. There is one writer, so there is nobody to conflict with."""
        return False

    def not_committed(self, error: BaseException) -> StoreError:
        """See Work."""
        return not_committed(error)

    def judge(self, *, is_on: bool) -> None:
        """See Work."""
        self._judge.is_judging = is_on


class SQLiteDatabase(Database):
    """See Database. Guarded requests of one process queue, in the order of arrival, where SQLite itself would poll."""

    declares = Declares(atomic=True, durable=True, cross_process=True, looks_first=True, ordered=True)
    most_writers = 1

    def take(
        self, connection: Connection, claim: Claim, deadline: float, _apart: Apart, /, *, is_nested: bool
    ) -> Work | Record | Forgotten:
        """See Database."""
        executing = _Executing(connection)
        judge = self._judge(connection, executing)
        judge.is_judging = False
        work = SQLiteWork(executing, connection, claim, is_nested=is_nested)
        try:
            if not is_nested:
                judge.broke = ""
                self._begin(executing, connection, deadline)
            work.begin()
            taken = _claims.take(executing, claim)
        except sqlite3.Error as error:
            work.undo()
            raise StoreUnavailable(f"the claim cannot be written: {_remedy(error)}") from error
        if taken is None:
            return work
        work.undo()
        return taken

    def look(self, connection: Connection, key: bytes) -> Record | None:
        """See Database."""
        try:
            return _claims.read(_Executing(connection), key)
        except sqlite3.Error as error:
            raise StoreUnavailable(_remedy(error)) from error

    def sweep(self, connection: Connection, now_unix_ms: int) -> int:
        """See Database."""
        executing = _Executing(connection)
        try:
            self._begin(executing, connection, monotonic())
            swept = _claims.sweep(executing, now_unix_ms)
            executing.execute("COMMIT")
        except sqlite3.Error as error:
            if driver_of(connection).in_transaction:
                executing.execute("ROLLBACK")
            raise StoreUnavailable(str(error)) from error
        return swept

    def migrate(self, connection: Connection) -> None:
        """See Database. One writer at a time creates; the journal mode is the application's own."""
        executing = _Executing(connection)
        try:
            executing.execute("BEGIN IMMEDIATE")
            for statement in TABLES.values():
                executing.execute(statement)
            executing.execute("COMMIT")
        except sqlite3.Error as error:
            if driver_of(connection).in_transaction:
                executing.execute("ROLLBACK")
            raise StoreUnavailable(str(error)) from error

    def is_down(self, error: BaseException) -> bool:
        """See Database."""
        return is_down(error)

    def _begin(self, executing: _Executing, connection: Connection, deadline: float) -> None:
        """BEGIN with the write lock, waited for until the deadline, whatever the application's own time-out is."""
        if driver_of(connection).in_transaction:
            # By the application's own "begin" event. It may have no lock yet; the INSERT gets it.
            return
        [own_ms] = executing.execute("PRAGMA busy_timeout").fetchone()
        wait_ms = max(0, round((deadline - monotonic()) * 1000))
        executing.execute(f"PRAGMA busy_timeout = {wait_ms}")
        try:
            executing.execute("BEGIN IMMEDIATE")
        finally:
            executing.execute(f"PRAGMA busy_timeout = {int(own_ms)}")

    def _judge(self, connection: Connection, executing: _Executing) -> Authorizer:
        """The judge of a connection: one for as long as the pool keeps it."""
        judge = connection.info.get(_JUDGE)
        if not isinstance(judge, Authorizer):
            judge = Authorizer()
            driver = driver_of(connection)
            if self.wait is None:
                driver.set_authorizer(judge)
            else:
                self.wait(driver.set_authorizer(judge))
            connection.info[_JUDGE] = judge
            _check_durable(executing)
        return judge


def _check_durable(executing: _Executing) -> None:
    [level] = executing.execute("PRAGMA synchronous").fetchone()
    if int(level) < _FULL:
        raise GuardError(
            f"PRAGMA synchronous = {level} on the engine's connections: what was answered would not survive the loss "
            "of power; wanted FULL, which is SQLite's own default"
        )


def _remedy(error: sqlite3.Error) -> str:
    return f"{error}; wanted: run migrate() once" if "no such table" in str(error) else str(error)
