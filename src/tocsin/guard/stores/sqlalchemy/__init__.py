"""Claims in the database of an application that uses SQLAlchemy: SQLite, PostgreSQL (psycopg 3), MariaDB (PyMySQL)."""

from tocsin.guard.stores.sqlalchemy._async_store import AsyncSQLAlchemyStore
from tocsin.guard.stores.sqlalchemy._store import SQLAlchemyStore

__all__ = ["AsyncSQLAlchemyStore", "SQLAlchemyStore"]
