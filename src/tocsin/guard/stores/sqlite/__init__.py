"""Claims in a SQLite file, next to the application's own tables."""

from tocsin.guard.stores.sqlite._store import SQLiteStore
from tocsin.guard.stores.sqlite._transaction import Rows, Transaction

__all__ = ["Rows", "SQLiteStore", "Transaction"]
