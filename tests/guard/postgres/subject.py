"""PostgreSQL as the contract suite wants it."""

from tests.guard.postgres.cluster import Database
from tocsin.guard.stores.postgres import AsyncPostgresStore, AsyncTransaction, PostgresStore, Transaction

EFFECT = "INSERT INTO effects DEFAULT VALUES"


class Effects:
    """A table of the application."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.query("CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY)")

    def effects(self) -> int:
        return int(self.database.value("SELECT count(*) FROM effects"))


class PostgresSubject(Effects):
    """A database; every store that is opened on it has its own connections, as another process would."""

    def open(self) -> PostgresStore:
        return PostgresStore(self.database.conninfo())

    def write_effect(self, tx: Transaction) -> None:
        tx.execute(EFFECT)


class AsyncPostgresSubject(Effects):
    """Likewise, for tasks."""

    def open(self) -> AsyncPostgresStore:
        return AsyncPostgresStore(self.database.conninfo())

    async def write_effect(self, tx: AsyncTransaction) -> None:
        await tx.execute(EFFECT)
