"""What SQLite's result codes mean for a guarded request, whoever runs the statement.

Rule: a code that is not known here says something about the statement, and is the handler's own affair. That of COMMIT
leaves open whether it has been done, unless SQLite is known to say it only where it has not.
"""

import sqlite3

from tocsin.guard._errors import CommitUnknown, StoreError, StoreUnavailable, TransactionBroken

# What the file system or SQLite itself says, never the statement: the same request may succeed later.
_DOWN = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
# After these, SQLite says itself that nothing has been committed.
_NOT_COMMITTED = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def primary_code(error: BaseException) -> int:
    """SQLite's result code without its extension; 0 for errors of the sqlite3 module itself."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def is_down(error: BaseException) -> bool:
    """Whether an error says that the database is locked, full or down."""
    return isinstance(error, sqlite3.Error) and primary_code(error) in _DOWN


def not_committed(error: BaseException) -> StoreError:
    """What an error says that came instead of the answer to COMMIT."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_CONSTRAINT:
        # A deferred constraint: what the handler wrote cannot be committed.
        return TransactionBroken(f"COMMIT: {error}")
    return StoreUnavailable(f"COMMIT: {error}") if code in _NOT_COMMITTED else CommitUnknown(f"COMMIT: {error}")
