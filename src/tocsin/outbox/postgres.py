"""The outbox in a PostgreSQL database, beside the application's own tables.

Rule: every statement of a runner is in a transaction that says what it needs. Nothing is asked of the session or of its
start, which a pooler refuses or forgets, and nothing that the connection string says is overwritten.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import Any

from tocsin.outbox import _sql
from tocsin.outbox._errors import OutboxError, OutboxUnavailable
from tocsin.outbox._message import Payload
from tocsin.outbox._store import AwaitedExecutes, Outbox, Session

try:
    import psycopg
    from psycopg import conninfo
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("tocsin.outbox.postgres needs psycopg 3: pip install 'tocsin[postgres]'") from error

# "tocsin" in ASCII, and one for the outbox: of many that create one table at once, PostgreSQL fails some.
_LOCK = 0x746F6373696E + 1
_DEFAULTS = MappingProxyType({"connect_timeout": "10"})
# A runner's statements take milliseconds; one that waits for so long waits for a lock that somebody forgot.
_BOUND = "SELECT set_config('statement_timeout', '10s', true) WHERE current_setting('statement_timeout') = '0'"


class PostgresOutbox(Outbox):
    """See Outbox.

    Args:
        database: a connection string or URI, as psycopg and libpq take it.
    """

    def __init__(self, database: str) -> None:
        self._database = database

    @property
    def where(self) -> str:
        """See Outbox."""
        try:
            known = conninfo.conninfo_to_dict(self._database)
        except psycopg.Error:
            return "PostgreSQL"
        return f"{known.get('dbname', 'PostgreSQL')} at {known.get('host', 'the default host')}"

    @staticmethod
    def spelled(statement: str) -> str:
        """See Outbox: psycopg knows %(name)s."""
        return _sql.spelled(statement)

    def migrate(self) -> None:
        """See Outbox."""
        with self._open() as connection, _bounded(connection):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for statement in _sql.tables("postgres"):
                connection.execute(statement.encode())

    @contextmanager
    def connected(self) -> Iterator[Session]:
        """See Outbox."""
        with self._open() as connection:
            with _bounded(connection):
                found = connection.execute("SELECT to_regclass(%s)", (_sql.TABLE,)).fetchall()
            if found == [(None,)]:
                raise OutboxError(f"{self.where} has no table {_sql.TABLE}; `tocsin outbox migrate` makes it")

            def run(statement: str, values: Mapping[str, object]) -> tuple[Sequence[Any], int]:
                try:
                    with _bounded(connection):
                        cursor = connection.execute(self.spelled(statement).encode(), values)
                        return (cursor.fetchall() if cursor.description else ()), cursor.rowcount
                except psycopg.Error as error:
                    raise OutboxUnavailable(f"{self.where}: {type(error).__name__}") from error

            yield Session(run, locking="FOR UPDATE SKIP LOCKED")

    async def put_async(
        self,
        tx: AwaitedExecutes,
        destination: str,
        payload: Payload,
        *,
        content_type: str = "application/json",
        message_id: str | None = None,
        delay_s: float = 0.0,
    ) -> str:
        """See Outbox.put; for a task's transaction."""
        statement, values = self._row(destination, payload, content_type, message_id, delay_s)
        await tx.execute(statement, values)
        return str(values["id"])

    @contextmanager
    def _open(self) -> Iterator["psycopg.Connection[Any]"]:
        try:
            said = conninfo.make_conninfo("", **_DEFAULTS | conninfo.conninfo_to_dict(self._database))
            connection = psycopg.connect(said, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            # Its text may quote the connection string.
            raise OutboxUnavailable(f"{self.where}: cannot be reached ({type(error).__name__})") from None
        with closing(connection):
            try:
                yield connection
            except psycopg.Error as error:
                raise OutboxUnavailable(f"{self.where}: {type(error).__name__}") from error


@contextmanager
def _bounded(connection: "psycopg.Connection[Any]") -> Iterator[None]:
    """A transaction in which no statement waits for long; whoever has set a bound of their own keeps it."""
    with connection.transaction():
        connection.execute(_BOUND)
        yield
