"""PostgreSQL and PgBouncer for tests: databases with the guard's tables, and questions to them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Self

import psycopg

from lab._database import Database as AnyDatabase
from lab._postgres import Cluster as Server
from lab._postgres import Daemon, free_port
from tocsin.guard.stores.postgres import schema_sql

# Whether so many sessions of this database wait for a lock.
WAITING = "SELECT count(*) >= %s FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_NUMBERS = count(1)
UNTIL_S = 20.0


class Database(AnyDatabase):
    """One database, with the guard's tables and a table of orders."""

    @property
    def orders(self) -> list[str]:
        return [order_id for (order_id,) in self.query("SELECT order_id FROM orders ORDER BY id")]

    @property
    def claims(self) -> int:
        return int(self.value("SELECT count(*) FROM tocsin_claims"))

    def await_waiting(self, number: int = 1) -> None:
        """Until so many sessions wait for a lock in this database."""
        self.until(lambda connection: connection.execute(WAITING, (number,)).fetchall()[0][0])

    def until(self, holds: Callable[[psycopg.Connection[Any]], bool]) -> None:
        """Ask the server until it says so; each question is a transaction of its own."""
        with closing(psycopg.connect(self.conninfo(), autocommit=True)) as connection:
            connection.execute("SET statement_timeout = '60s'")
            # By the clock: a question that does not go to the server takes no time.
            deadline = monotonic() + UNTIL_S
            while monotonic() < deadline:
                if holds(connection):
                    return
        raise AssertionError("it did not come about")


class Cluster(Server):
    """A running server; `database` makes databases on it."""

    def create(self, name: str) -> Database:
        """An empty database."""
        return Database.create(self, name)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A database with the guard's tables; dropped afterwards, with whoever is connected."""
        made = self.create(f"test_{next(_NUMBERS)}")
        made.query(schema_sql())
        made.query("CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, order_id text NOT NULL)")
        try:
            yield made
        finally:
            Database(self.port, "postgres").query(f'DROP DATABASE "{made.name}" WITH (FORCE)')


class Bouncer:
    """PgBouncer in transaction mode, with fewer connections to the server than it has clients.

    Args:
        database: where it leads.
        most: how many connections to the server.
    """

    def __init__(self, database: Database, most: int = 2) -> None:
        program = bouncer()
        assert program is not None
        self.directory = Path(tempfile.mkdtemp(prefix="tocsin-pgbouncer-"))
        self.port = free_port()
        (self.directory / "users.txt").write_text('"tocsin" ""\n')
        (self.directory / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"{database.name} = host=127.0.0.1 port={database.port} user=tocsin\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = trust\n"
            f"auth_file = {self.directory}/users.txt\npool_mode = transaction\ndefault_pool_size = {most}\n"
            "max_client_conn = 200\n"
        )
        self.directory.chmod(0o755)
        self._daemon = Daemon([program, str(self.directory / "pgbouncer.ini")], "process up", "KILL")
        self._daemon.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def bouncer() -> str | None:
    """Where PgBouncer is."""
    return shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
