"""PostgreSQL as the contract suite wants it."""

from tests.guard.postgres.cluster import Database
from tocsin.guard.stores.postgres import PostgresStore, Transaction


class PostgresSubject:
    """A database; every store that is opened on it has its own connections, as another process would."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.query("CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY)")

    def open(self) -> PostgresStore:
        return PostgresStore(self.database.conninfo())

    def write_effect(self, tx: Transaction) -> None:
        tx.execute("INSERT INTO effects DEFAULT VALUES")

    def effects(self) -> int:
        return int(self.database.value("SELECT count(*) FROM effects"))
