"""What a handler may not do in its transaction.

Rule: SQLite itself is asked, not the text of a statement: a comment, a trigger or END instead of COMMIT makes no
difference. It asks once for each statement that it compiles, so a statement that runs again costs nothing.
"""

import sqlite3
from types import MappingProxyType

# What begins, ends or leaves the transaction. A handler that got this far wanted another outcome than the guard would
# give it, so its transaction is not committed even if it goes on.
_CONTROL = MappingProxyType({sqlite3.SQLITE_ATTACH: "ATTACH", sqlite3.SQLITE_DETACH: "DETACH"})
# Pragmas that read, or that end with the transaction.
_PRAGMAS = frozenset(
    {
        "compile_options",
        "data_version",
        "defer_foreign_keys",
        "foreign_key_check",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "page_count",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
_TABLE_IS_FIRST = frozenset(
    {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_DROP_TABLE}
)
_TABLE_IS_SECOND = frozenset({sqlite3.SQLITE_ALTER_TABLE, sqlite3.SQLITE_CREATE_TRIGGER})
RESERVED = "tocsin_"
# What handlers write to by `tocsin.outbox`, with their effects.
_OPEN = frozenset({"tocsin_outbox"})


class Authorizer:
    """The judge of one connection.

    Attributes:
        is_judging: whether a handler is running; the guard's own statements are not judged.
        refused: what was refused last.
        broke: what the handler tried that would have ended its transaction; "" if nothing.
    """

    __slots__ = ("broke", "is_judging", "refused")

    def __init__(self) -> None:
        self.is_judging = False
        self.refused = ""
        self.broke = ""

    def __call__(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        """SQLite's question about one part of a statement."""
        if not self.is_judging:
            return sqlite3.SQLITE_OK
        refused = _refusal(action, first or "", second or "")
        if not refused:
            return sqlite3.SQLITE_OK
        self.refused = refused
        if action == sqlite3.SQLITE_TRANSACTION:
            self.broke = refused
        return sqlite3.SQLITE_DENY


def _refusal(action: int, first: str, second: str) -> str:
    """What is refused, in words, or ""."""
    if action == sqlite3.SQLITE_TRANSACTION:
        return first
    if action in _CONTROL:
        return _CONTROL[action]
    if action == sqlite3.SQLITE_PRAGMA:
        return "" if first.lower() in _PRAGMAS else f"PRAGMA {first}"
    if action == sqlite3.SQLITE_SAVEPOINT and second.lower().startswith(RESERVED):
        return f"{first} of a savepoint of the guard"
    table = first if action in _TABLE_IS_FIRST else second if action in _TABLE_IS_SECOND else ""
    is_reserved = table.lower().startswith(RESERVED) and table.lower() not in _OPEN
    return f"writing to {table}" if is_reserved else ""
