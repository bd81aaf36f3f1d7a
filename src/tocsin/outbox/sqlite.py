"""The outbox in a SQLite file, beside the application's own tables."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tocsin.outbox import _sql
from tocsin.outbox._errors import OutboxError, OutboxUnavailable
from tocsin.outbox._store import Outbox, Session

_BUSY_S = 10.0


class SQLiteOutbox(Outbox):
    """See Outbox.

    Args:
        path: the database file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()

    @property
    def where(self) -> str:
        """See Outbox."""
        return str(self._path)

    @staticmethod
    def spelled(statement: str) -> str:
        """See Outbox: SQLite knows :name."""
        return statement

    def migrate(self) -> None:
        """See Outbox."""
        with self._open("rwc") as connection:
            for statement in _sql.tables("sqlite"):
                connection.execute(statement)

    @contextmanager
    def connected(self) -> Iterator[Session]:
        """See Outbox."""
        if not self._path.is_file():
            raise OutboxError(f"{self._path} is no file; wanted the path of a database file")
        with self._open("rw") as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_sql.TABLE,)).fetchone()
            if found is None:
                raise OutboxError(f"{self._path} has no table {_sql.TABLE}; `tocsin outbox migrate` makes it")

            def run(statement: str, values: Mapping[str, object]) -> tuple[Sequence[Any], int]:
                try:
                    # Read to the end: a statement that RETURNs is in its transaction until then.
                    with closing(connection.execute(statement, values)) as cursor:
                        return cursor.fetchall(), cursor.rowcount
                except sqlite3.Error as error:
                    raise OutboxUnavailable(f"{self._path}: {error}") from error

            yield Session(run, locking="")

    @contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._connection(mode)) as connection:
                # A message that has been sent twice is the smaller evil, but an outbox that forgets is none.
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except sqlite3.Error as error:
            raise OutboxUnavailable(f"{self._path}: {error}") from error

    def _connection(self, mode: str) -> sqlite3.Connection:
        uri = f"{self._path.as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
