"""Administration of the claims in a PostgreSQL database.

Rule: no password leaves this file. What libpq says is shown without it, and a connection string that cannot be read is
not quoted.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import UndefinedTable
from psycopg.rows import tuple_row

from tocsin.guard._admin import NEWEST_STREAMS, STREAMS, Chosen, Due, Kept, Stream, select
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard.stores.postgres._schema import schema_sql
from tocsin.guard.stores.postgres._store import PostgresStore

# A transaction that stays open keeps every row from being vacuumed, so the pages of a long export are read one by one.
_PAGE = 500
_CONNECT_WAIT_S = 5
_DUE = """
    SELECT count(*), count(*) FILTER (WHERE claim_until_unix_ms <= %(now)s)
    FROM tocsin_claims WHERE due_unix_ms <= %(now)s AND status IS NOT NULL
"""
# What a connection string may hold that nobody else may see.
_SECRETS = ("password", "sslpassword")


def administration(where: str) -> "PostgresAdministration":
    """Administration of a database, which is not connected to yet.

    Raises:
        GuardError: the connection string cannot be read.
    """
    return PostgresAdministration(where)


class PostgresAdministration:
    """See Administration.

    Args:
        conninfo: as psycopg.connect takes it.

    Raises:
        GuardError: the connection string cannot be read.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._hidden = _secrets(conninfo)
        self._store = PostgresStore(conninfo, max_connections=1)

    @property
    def holds_secret(self) -> bool:
        """See Administration."""
        return bool(self._hidden)

    def newest(self, chosen: Chosen, limit: int) -> list[Kept]:
        """See Administration."""
        sql, values = select(chosen, _placeholder, end="ORDER BY taken_unix_ms DESC, key LIMIT %(most)s")
        return [Kept(*row) for row in self._rows(sql, values | {"most": limit})]

    def all(self, chosen: Chosen, *, with_answers: bool) -> Iterator[Kept]:
        """See Administration."""
        last = b"" if chosen.keys is None else chosen.keys.first
        is_after = False
        while True:
            page = self._page(chosen, last, is_after=is_after, with_answers=with_answers)
            yield from page
            if len(page) < _PAGE:
                return
            last, is_after = page[-1].key, True

    def streams(self, limit: int) -> tuple[int, list[Stream]]:
        """See Administration."""
        [(count,)] = self._rows(STREAMS, {})
        newest = self._rows(NEWEST_STREAMS.format(most="%(most)s"), {"most": limit})
        return count, [Stream(*row) for row in newest]

    def due(self, now_unix_ms: int) -> Due:
        """See Administration."""
        [(due, claims)] = self._rows(_DUE, {"now": now_unix_ms})
        return Due(due - claims, claims)

    def prune(self, now_unix_ms: int) -> int:
        """See Administration."""
        with self._masked():
            return self._store.sweep(now_unix_ms)

    def sql(self) -> str:
        """See Administration."""
        return schema_sql()

    def migrate(self) -> None:
        """See Administration."""
        with self._masked():
            self._store.migrate()

    def close(self) -> None:
        """See Administration."""
        self._store.close()

    def _page(self, chosen: Chosen, last: bytes, *, is_after: bool, with_answers: bool) -> list[Kept]:
        end = f"AND key {'>' if is_after else '>='} %(last_read)s ORDER BY key LIMIT %(most)s"
        sql, values = select(chosen, _placeholder, end=end, with_answers=with_answers)
        return [Kept(*row) for row in self._rows(sql, values | {"last_read": last, "most": _PAGE})]

    def _rows(self, sql: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        with self._masked(), closing(self._connected()) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def _connected(self) -> Connection[tuple[Any, ...]]:
        said = conninfo_to_dict(self._conninfo)
        wait_s = said.get("connect_timeout") or _CONNECT_WAIT_S
        return psycopg.connect(self._conninfo, autocommit=True, row_factory=tuple_row, connect_timeout=wait_s)

    @contextmanager
    def _masked(self) -> Iterator[None]:
        try:
            yield
        except UndefinedTable:
            raise GuardError(
                "the database has no claims of a guard; `tocsin claims migrate` makes the tables"
            ) from None
        except (psycopg.Error, StoreUnavailable) as error:
            # Not from the error: its text may hold what is masked here.
            raise StoreUnavailable(f"PostgreSQL: {_one_line(str(error), self._hidden)}") from None


def _secrets(conninfo: str) -> list[str]:
    """What no message may show, as it is and as URLs spell it."""
    try:
        said = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        raise GuardError(
            'the connection string cannot be read; wanted such as "postgresql://user@host/database"'
        ) from None
    found = [str(said[name]) for name in _SECRETS if said.get(name)]
    return [spelled for secret in found for spelled in (secret, quote(secret, safe=""))]


def _one_line(text: str, hidden: list[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, "***")
    return " ".join(text.split())


def _placeholder(name: str) -> str:
    return f"%({name})s"
