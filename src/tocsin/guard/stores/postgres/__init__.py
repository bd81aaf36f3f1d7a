"""Claims in a PostgreSQL database, next to the application's own tables."""

from tocsin.guard._fetched_rows import FetchedRows as AsyncRows
from tocsin.guard.stores.postgres._async_store import AsyncPostgresStore
from tocsin.guard.stores.postgres._async_transaction import AsyncTransaction
from tocsin.guard.stores.postgres._schema import schema_sql
from tocsin.guard.stores.postgres._store import PostgresStore
from tocsin.guard.stores.postgres._transaction import Rows, Transaction

__all__ = [
    "AsyncPostgresStore",
    "AsyncRows",
    "AsyncTransaction",
    "PostgresStore",
    "Rows",
    "Transaction",
    "schema_sql",
]
