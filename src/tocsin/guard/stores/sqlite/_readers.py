"""Connections that read what is committed, so that a duplicate is answered while somebody writes."""

import sqlite3
from pathlib import Path
from time import monotonic

from tocsin.guard._store import Record
from tocsin.guard.stores.sqlite import _claims
from tocsin.guard.stores.sqlite._schema import STILL_THERE_S, connect, file_identity

# Reading one row takes microseconds; more readers than this are never busy at once for long.
_MOST_KEPT = 8
# Only a recovery after a crash makes a reader wait in WAL mode.
_BUSY_S = 2.0


class Readers:
    """A stack of idle connections; the one used last is used next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file_name = str(path)
        self._file: tuple[int, int] | None = None
        self._seen_at = 0.0
        self._idle: list[sqlite3.Connection] = []

    def read(self, key: bytes) -> Record | None:
        """What is committed under a key. After an error the connection is closed instead of kept.

        Raises:
            OSError: there is no such file.
            sqlite3.Error: it cannot be read.
        """
        connection = self._pop()
        try:
            found = _claims.read(connection, key)
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < _MOST_KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        return found

    def drain(self) -> list[sqlite3.Connection]:
        """Give up the idle connections; the caller closes them, or keeps them from being closed."""
        drained, self._idle = self._idle, []
        return drained

    def _pop(self) -> sqlite3.Connection:
        now = monotonic()
        if now - self._seen_at >= STILL_THERE_S:
            file = file_identity(self._file_name)
            self._seen_at = now
            if file != self._file:
                self._file = file
                for connection in self.drain():
                    connection.close()
        try:
            return self._idle.pop()
        except IndexError:
            connection = connect(self._path, mode="rw", busy_s=_BUSY_S)
            connection.execute("PRAGMA query_only = ON")
            return connection
