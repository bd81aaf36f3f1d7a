"""A PostgreSQL server of the tests: a temporary directory, a port that the kernel chose, a user that is not root."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Thread
from typing import IO, Any, Self

import psycopg
from psycopg.conninfo import make_conninfo

from tocsin.guard.stores.postgres import schema_sql

WANTED = "no PostgreSQL server found; apt-get install postgresql"
# Whether so many sessions of this database wait for a lock.
WAITING = "SELECT count(*) >= %s FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_NUMBERS = count(1)


def found(program: str) -> str | None:
    """Where a program of PostgreSQL is: in PATH, or where Debian keeps it, the newest first."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: -float(path.parts[4]))
    return str(kept[0]) if kept else shutil.which(program)


def other_user() -> str | None:
    """Whom a server runs as that refuses root; None: we are not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


# Ends the server when its standard input ends, which also happens when the tests are killed.
_LEASHED = '"$@" & read -r _; kill -s "$STOP" $!; wait $!'


@dataclass(slots=True)
class Daemon:
    """A server process that says on standard error when it is ready, and is stopped by a signal."""

    command: list[str]
    ready: str
    signal: str
    process: "subprocess.Popen[str] | None" = None
    reader: Thread | None = None
    log: list[str] = field(default_factory=list)

    def start(self) -> None:
        user = other_user()
        identity: dict[str, Any] = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid}
        self.process = subprocess.Popen(
            ["sh", "-c", _LEASHED, "sh", *self.command],
            cwd="/",
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"LC_ALL": "C", "STOP": self.signal},
            **identity,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if self.ready in line:
                break
        else:
            self.stop()
            raise AssertionError("".join(self.log))
        # Unread, a full pipe would stop the server.
        self.reader = Thread(target=self._read, args=(self.process.stderr,))
        self.reader.start()

    def stop(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read(self, stream: IO[str]) -> None:
        self.log.extend(stream)


@dataclass(slots=True)
class Database:
    """One database, with the guard's tables and a table of orders."""

    port: int
    name: str

    def conninfo(self, **more: str | int) -> str:
        usual: dict[str, str | int] = {
            "host": "127.0.0.1",
            "port": self.port,
            "dbname": self.name,
            "user": "tocsin",
            "sslmode": "disable",
        }
        return make_conninfo("", **(usual | more))

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own; what it returned."""
        with closing(psycopg.connect(self.conninfo(), autocommit=True)) as connection:
            cursor = connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description is not None else []

    def value(self, sql: str, *parameters: object) -> Any:
        return self.query(sql, *parameters)[0][0]

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
            for _ in range(100_000):
                if holds(connection):
                    return
        raise AssertionError("it did not come about")


class Cluster:
    """A running server; `database` makes databases on it.

    Args:
        settings: for postgresql.conf. Without fsync where no test pulls the plug.
    """

    def __init__(self, *settings: str) -> None:
        initdb, postgres = found("initdb"), found("postgres")
        assert initdb is not None
        assert postgres is not None
        self.directory = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
        user = other_user()
        identity: dict[str, Any] = {}
        if user is not None:
            shutil.chown(self.directory, user)
            identity = {"user": user, "group": pwd.getpwnam(user).pw_gid}
        data = self.directory / "data"
        subprocess.run(
            [initdb, "-D", str(data), "-U", "tocsin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
            **identity,
        )
        self.port = free_port()
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}"]
        options += ["max_connections=150", "deadlock_timeout=50ms", "shared_buffers=32MB", *settings]
        arguments = [part for option in options for part in ("-c", option)]
        self._daemon = Daemon([postgres, "-D", str(data), *arguments], "ready to accept connections", "QUIT")
        self._daemon.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        """An immediate shut-down: what a crash leaves behind, without the crash of the machine."""
        self._daemon.stop()

    def start(self) -> None:
        self._daemon.start()

    def create(self, name: str) -> Database:
        """An empty database."""
        Database(self.port, "postgres").query(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return Database(self.port, name)

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
