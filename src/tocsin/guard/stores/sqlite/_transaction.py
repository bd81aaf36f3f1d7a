"""What a handler gets of the transaction: everything but the power to end it."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from tocsin.guard._errors import TransactionMisuse
from tocsin.guard._held_cursors import HeldCursors
from tocsin.guard.stores.sqlite._writer import Writer

Parameters: TypeAlias = Sequence[object] | Mapping[str, object]
RowFactory: TypeAlias = Callable[[sqlite3.Cursor, tuple[Any, ...]], object]


class Rows:
    """What a statement gave. It ends with the handler: read what you need before you return."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """How many rows an INSERT, UPDATE or DELETE changed; -1 for other statements."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The rowid of the row that was inserted last."""
        return self._cursor.lastrowid

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column[0] for column in self._cursor.description or ())

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


class Transaction:
    """The transaction in which the claim has been written and the answer will be.

    Whatever is written through it is committed with the answer, or not at all. It is for the thread of its handler, or
    the task of an async one, and ends with it.

    Args:
        writer: the connection, its transaction begun.
        row_factory: as in sqlite3.
        owner: whose it is: a thread's or a task's.
        who: says who is calling.
    """

    __slots__ = ("_cursors", "_owner", "_row_factory", "_who", "_writer")

    def __init__(
        self, writer: Writer, row_factory: RowFactory | None, owner: object, who: Callable[[], object]
    ) -> None:
        self._writer: Writer | None = writer
        self._row_factory = row_factory
        self._who = who
        self._owner = owner
        self._cursors = HeldCursors()

    def execute(self, sql: str, parameters: Parameters = ()) -> Rows:
        """Run one statement.

        Raises:
            TransactionMisuse: the statement would end, leave or attach something to the transaction, or the handler has
                ended.
            sqlite3.Error: whatever SQLite says about the statement. Catch it outside `with tx.savepoint():`.
        """
        cursor = self._cursor()
        try:
            cursor.execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from None
        if cursor.description is not None:
            self._cursors.add(cursor)
        return Rows(cursor)

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Rows:
        """Run one statement for each of the parameters. Raises as `execute` does."""
        cursor = self._cursor()
        try:
            cursor.executemany(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from None
        if cursor.description is not None:
            self._cursors.add(cursor)
        return Rows(cursor)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A block whose writes are undone if it raises; the way to catch an SQL error and go on."""
        writer = self._live()
        name = writer.open_savepoint()
        try:
            yield
        except BaseException:
            writer.undo_savepoint(name)
            raise
        writer.release_savepoint(name)

    def end(self) -> None:
        """Called by the guard: the handler has ended, and with it everything that it got from here."""
        self._writer = None
        # An open cursor would keep the connection reading a past state of the database.
        self._cursors.close()

    def _live(self) -> Writer:
        writer = self._writer
        if writer is None:
            raise TransactionMisuse("this transaction has ended with its handler; use it before the handler returns")
        if self._who() != self._owner:
            raise TransactionMisuse(
                "this transaction belongs to the thread of its handler, or to its task; use it there"
            )
        if not writer.connection.in_transaction:
            raise TransactionMisuse("a statement of this handler has rolled its transaction back; nothing can follow")
        return writer

    def _cursor(self) -> sqlite3.Cursor:
        cursor = self._live().connection.cursor()
        if self._row_factory is not None:
            cursor.row_factory = self._row_factory
        return cursor

    def _explained(self, error: sqlite3.DatabaseError) -> Exception:
        """What is raised for an error of SQLite: the same, unless it is the guard that refused the statement."""
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_AUTH or self._writer is None:
            return error
        return TransactionMisuse(
            f"{self._writer.authorizer.refused} is refused while a handler runs: its writes, the claim and the answer "
            "are one commit, which is the guard's; use tx.savepoint() to undo a part"
        )
