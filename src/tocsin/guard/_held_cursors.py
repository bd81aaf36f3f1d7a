"""The cursors that a handler still holds; one that it has dropped has closed itself, and its rows are gone."""

from typing import Protocol
from weakref import ref


class _Closable(Protocol):
    def close(self) -> object: ...


class HeldCursors:
    """Of one transaction. It keeps none of them: a handler may run any number of statements."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: set[ref[_Closable]] = set()

    def add(self, cursor: _Closable) -> None:
        """The handler gets this one."""
        self._held.add(ref(cursor, self._held.discard))

    def close(self) -> None:
        """Close those that are left."""
        for held in list(self._held):
            cursor = held()
            if cursor is not None:
                cursor.close()
