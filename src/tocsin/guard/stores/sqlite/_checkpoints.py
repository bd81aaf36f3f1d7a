"""Copies the log into the database file while others go on writing.

Rule: it decides nothing, and nobody waits for it. By itself SQLite copies in the COMMIT that finds the log long, for
several milliseconds that everybody who waits for the turn waits for as well. Where this is late, or fails, that COMMIT
still comes: it only finds less to copy, and comes less often.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from tocsin.guard import _log
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard.stores.sqlite._schema import connect, make_durable
from tocsin.guard.stores.sqlite._side_thread import SideThread

# A sixth of a second of full load. The same pages change again and again, and are copied once: with 1000 rows, two
# processes of tasks are a tenth slower.
_EVERY_ROWS = 6000
# The log begins anew only when all of it has been copied and nobody is writing, which under load is the case in the
# COMMIT that copies the rest. 48 MB, with the usual pages.
LONGEST_LOG_PAGES = 12_000
# Only a recovery after a crash makes it wait; nobody waits for it.
_BUSY_S = 2.0


class Checkpoints:
    """Of one file.

    Args:
        path: the database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = SideThread("tocsin-checkpoint")
        self._copied = 0
        self._is_copying = False

    def committed(self, rows: int) -> None:
        """There was a COMMIT.

        Args:
            rows: how many rows its connection has changed since it was opened.
        """
        if rows - self._copied >= _EVERY_ROWS and not self._is_copying:
            self._copied = rows
            self._is_copying = True
            try:
                self._thread.start(self._copy)
            except StoreUnavailable as error:
                # What is committed is committed.
                self._is_copying = False
                self._tell(error)

    def close(self) -> None:
        """End the thread when it has copied what was begun."""
        self._thread.close()

    def _copy(self) -> None:
        try:
            with closing(connect(self._path, mode="rw", busy_s=_BUSY_S)) as connection:
                make_durable(connection)
                # A connection that has not read yet knows of no log.
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            self._tell(error)
        finally:
            self._is_copying = False

    def _tell(self, error: Exception) -> None:
        _log.store_notice(str(self._path), f"the log is left to COMMIT, it could not be copied beside it: {error}")
