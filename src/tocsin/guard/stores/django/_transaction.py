"""What a handler gets as `tx`: SQL in the transaction that the ORM uses too, and nothing that would end it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any, TypeAlias

from django.db import transaction

from tocsin.guard._errors import TransactionMisuse
from tocsin.guard._held_cursors import HeldCursors
from tocsin.guard._store import Rows

Parameters: TypeAlias = Sequence[object] | Mapping[str, object]


class Transaction:
    """The transaction in which the claim has been written and the answer will be.

    Models of this database need no `tx`: whatever they write on the handler's thread is in it.

    Args:
        connection: of Django, the transaction open.
    """

    __slots__ = ("_connection", "_cursors", "_thread", "alias")

    def __init__(self, connection: Any) -> None:  # noqa: ANN401  Django has no types
        self.alias: str = connection.alias
        self._connection: Any = connection
        self._thread = get_ident()
        self._cursors = HeldCursors()

    def execute(self, sql: str, parameters: Parameters = ()) -> Rows:
        """Run one statement, its placeholders %s or %(name)s, as everywhere in Django.

        Raises:
            TransactionMisuse: the statement would begin or end a transaction, or the handler has ended.
            django.db.Error: whatever the database says. Catch it outside `with tx.savepoint():`.
        """
        cursor = self._cursor()
        cursor.execute(sql, parameters or None)
        rows: Rows = cursor
        return rows

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Rows:
        """Run one statement for each of the parameters. Raises as `execute` does."""
        cursor = self._cursor()
        cursor.executemany(sql, list(parameters))
        rows: Rows = cursor
        return rows

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A block whose writes are undone if it raises: transaction.atomic() on this database."""
        self._live()
        with transaction.atomic(using=self.alias):
            yield

    def end(self) -> None:
        """Called by the guard: the handler has ended, and with it everything that it got from here."""
        self._connection = None
        self._cursors.close()

    def _live(self) -> Any:  # noqa: ANN401  likewise
        if self._connection is None:
            raise TransactionMisuse("this transaction has ended with its handler; use it before the handler returns")
        if get_ident() != self._thread:
            raise TransactionMisuse(
                "this transaction belongs to the thread of its handler; use it there (in a coroutine, by sync_to_async)"
            )
        return self._connection

    def _cursor(self) -> Any:  # noqa: ANN401  likewise
        cursor = self._live().cursor()
        self._cursors.add(cursor)
        return cursor
