"""The service on MariaDB."""

from tests.guard.mariadb.server import Database
from tests.guard.server_shop import ServerShop
from tocsin.guard.stores.mariadb import MariaDBStore


class MariaDBShop(ServerShop[Database]):
    """See ServerShop."""

    def store_on(self, database: Database) -> MariaDBStore:
        return MariaDBStore(database.url())
