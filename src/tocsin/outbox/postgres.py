"""The outbox in a PostgreSQL database, beside the application's own tables."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
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
_CONNECT_S = 10
# A runner's statements take milliseconds; one that waits for so long waits for a lock that somebody forgot.
_STATEMENT_MS = 10_000


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
        with self._open() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for statement in _sql.tables("postgres"):
                connection.execute(statement.encode())

    @contextmanager
    def connected(self) -> Iterator[Session]:
        """See Outbox."""
        with self._open() as connection:
            if connection.execute("SELECT to_regclass(%s)", (_sql.TABLE,)).fetchall() == [(None,)]:
                raise OutboxError(f"{self.where} has no table {_sql.TABLE}; `tocsin outbox migrate` makes it")

            def run(statement: str, values: Mapping[str, object]) -> tuple[Sequence[Any], int]:
                try:
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
        options = f"-c statement_timeout={_STATEMENT_MS}"
        try:
            connection = psycopg.connect(
                self._database, autocommit=True, connect_timeout=_CONNECT_S, options=options, prepare_threshold=None
            )
        except psycopg.Error as error:
            # Its text may quote the connection string.
            raise OutboxUnavailable(f"{self.where}: cannot be reached ({type(error).__name__})") from None
        with closing(connection):
            try:
                yield connection
            except psycopg.Error as error:
                raise OutboxUnavailable(f"{self.where}: {type(error).__name__}") from error
