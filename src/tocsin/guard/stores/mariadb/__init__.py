"""Claims in a MariaDB database, next to the application's own tables."""

from tocsin.guard.stores.mariadb._async_store import AsyncMariaDBStore
from tocsin.guard.stores.mariadb._async_transaction import AsyncTransaction
from tocsin.guard.stores.mariadb._schema import schema_sql
from tocsin.guard.stores.mariadb._store import MariaDBStore
from tocsin.guard.stores.mariadb._transaction import Rows, Transaction

__all__ = ["AsyncMariaDBStore", "AsyncTransaction", "MariaDBStore", "Rows", "Transaction", "schema_sql"]
