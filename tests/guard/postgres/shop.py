"""The service on PostgreSQL."""

from tests.guard.postgres.cluster import Database
from tests.guard.server_shop import ServerShop
from tocsin.guard.stores.postgres import PostgresStore


class PostgresShop(ServerShop[Database]):
    """See ServerShop."""

    def store_on(self, database: Database) -> PostgresStore:
        return PostgresStore(database.conninfo())
