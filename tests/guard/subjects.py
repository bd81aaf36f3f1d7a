"""Stores as the contract suite wants them: with a table of the application beside the claims."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tocsin.guard.stores.sqlite import SQLiteStore, Transaction


class SQLiteSubject:
    """A database file; every store that is opened on it has its own connections, as another process would."""

    def __init__(self, path: Path, make: Callable[[Path], SQLiteStore] = SQLiteStore) -> None:
        self.path = path
        self._make = make
        make(path).close()
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY)")

    def open(self) -> SQLiteStore:
        return self._make(self.path)

    def write_effect(self, tx: Transaction) -> None:
        tx.execute("INSERT INTO effects DEFAULT VALUES")

    def effects(self) -> int:
        with closing(sqlite3.connect(self.path)) as db:
            (count,) = db.execute("SELECT count(*) FROM effects").fetchone()
        return int(count)
