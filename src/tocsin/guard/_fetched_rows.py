"""Rows that have come whole before the handler is given them."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from tocsin.guard._errors import TransactionMisuse


class Ends(Protocol):
    """What ends with its handler."""

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        ...


class FetchedRows:
    """What a statement gave. It is here already, so reading it waits for nothing; it ends with the handler.

    Args:
        cursor: a database driver's, after the statement.
        rows: all that came.
        transaction: of the handler.
    """

    __slots__ = ("_rows", "_transaction", "columns", "rowcount")

    def __init__(self, cursor: Any, rows: Iterable[Any], transaction: Ends) -> None:  # noqa: ANN401  any driver's
        self.rowcount: int = cursor.rowcount
        self.columns = tuple([column[0] for column in cursor.description or ()])
        self._rows = iter(rows)
        self._transaction = transaction

    def fetchone(self) -> Any:  # noqa: ANN401  a row has the types of its query
        """The next row, or None."""
        return next(self, None)

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        return list(self)

    def fetchmany(self, size: int) -> list[Any]:
        """The next rows, so many at most."""
        return [row for _, row in zip(range(size), self, strict=False)]

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:  # noqa: ANN401  a row has the types of its query
        if self._transaction.has_ended:
            raise TransactionMisuse("these rows have ended with their handler; read them before the handler returns")
        return next(self._rows)
