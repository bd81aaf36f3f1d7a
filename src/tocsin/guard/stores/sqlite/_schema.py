"""Makes a database file ready: WAL, and the table of claims.

Rule: under a lock file. Of several processes that switch a fresh file to WAL at once, SQLite answers all but one
"database is locked", at once and whatever their busy timeout.
"""

import fcntl
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

from tocsin.guard import _log
from tocsin.guard._errors import StoreUnavailable
from tocsin.guard.stores.sqlite import _claims, _sequences
from tocsin.guard.stores.sqlite._inherited_files import refuse_if_inherited
from tocsin.guard.stores.sqlite._lock_files import open_lock_file

TABLES = {**_claims.TABLES, **_sequences.TABLES}
# Somebody else is starting too, or writing with a client that does not know the lock file.
_PREPARE_WAIT_S = 10.0
_READ_WAIT_S = 2.0
_POLL_S = 0.01
# How long a file that was there is taken to be there still. A request looks first and takes then, a few microseconds
# later, and others of its event loop do so in between; asking the file system each time would tell them nothing.
STILL_THERE_S = 0.0001


def connect(path: Path, *, mode: str, busy_s: float = 0.0) -> sqlite3.Connection:
    """A connection in autocommit, usable by one thread at a time.

    Args:
        path: the database file, absolute.
        mode: "rw", or "rwc" to create the file.
        busy_s: how long SQLite itself waits for locks.

    Raises:
        StoreUnavailable: see refuse_if_inherited.
        sqlite3.Error: it cannot be opened.
    """
    refuse_if_inherited(path)
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def make_durable(connection: sqlite3.Connection) -> None:
    """What COMMIT has returned survives the loss of power."""
    connection.execute("PRAGMA synchronous = FULL")
    if sys.platform == "darwin":
        # macOS: fsync does not make the drive write.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")


def file_identity(path: Path | str) -> tuple[int, int]:
    """Which file a path leads to now: connections to another one would write where nobody reads. Raises OSError."""
    found = os.stat(path)  # noqa: PTH116  with every request: Path.stat costs half as much again
    return found.st_dev, found.st_ino


def prepare(path: Path, *, mode: str) -> None:
    """Create the tables where they are missing, and switch the file to WAL.

    Args:
        path: the database file, absolute.
        mode: as in `connect`. A file that vanished later is not replaced by an empty one, which knows no claims.

    Raises:
        StoreUnavailable: the file cannot be opened, locked or put into WAL mode.
    """
    try:
        with closing(connect(path, mode=mode, busy_s=_READ_WAIT_S)) as connection:
            if not _is_ready(connection):
                with _lock_file(path):
                    _make_ready(connection, path)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"{path} cannot be made ready: {error}") from error


def _is_ready(connection: sqlite3.Connection) -> bool:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    return mode == "wal" and found >= TABLES.keys()


def _make_ready(connection: sqlite3.Connection, path: Path) -> None:
    _switch_to_wal(connection, path)
    make_durable(connection)
    connection.execute(f"PRAGMA busy_timeout = {_PREPARE_WAIT_S * 1000:.0f}")
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.values():
        connection.execute(statement)
    connection.execute("COMMIT")


@contextmanager
def _lock_file(path: Path) -> Iterator[None]:
    with os.fdopen(open_lock_file(path, "lock"), "rb") as file:
        deadline = monotonic() + _PREPARE_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise
                sleep(_POLL_S)
        yield


def _switch_to_wal(connection: sqlite3.Connection, path: Path) -> None:
    # Read first: only reading tells a connection that another process has switched the file meanwhile.
    is_used = connection.execute("PRAGMA page_count").fetchone()[0] > 0
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode == "wal":
        return
    if is_used:
        _log.store_notice(str(path), f"switching its journal mode from {mode} to wal, for every program that uses it")
    deadline = monotonic() + _PREPARE_WAIT_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = wal").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_POLL_S)
    if mode != "wal":
        raise StoreUnavailable(f"{path} stays in journal mode {mode}; wanted wal, which network file systems refuse")
