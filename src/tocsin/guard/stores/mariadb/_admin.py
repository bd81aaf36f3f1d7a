"""Administration of the claims in a MariaDB database.

Rule: no password leaves this file. A URL that cannot be read is not quoted, and what the driver says is shown without
what the URL hides.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import pymysql
from pymysql.cursors import Cursor

from tocsin.guard._admin import NEWEST_STREAMS, STREAMS, Chosen, Due, Kept, Stream, select
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard.stores.mariadb._errnos import NO_SUCH_TABLE
from tocsin.guard.stores.mariadb._options import arguments
from tocsin.guard.stores.mariadb._schema import schema_sql
from tocsin.guard.stores.mariadb._session import errno_of, text_of
from tocsin.guard.stores.mariadb._store import MariaDBStore

# A transaction that stays open keeps InnoDB from purging old rows, so the pages of a long export are read one by one.
_PAGE = 500
_DUE = """
    SELECT COUNT(*), COALESCE(SUM(claim_until_unix_ms <= %(now)s), 0)
    FROM tocsin_claims WHERE due_unix_ms <= %(now)s AND status IS NOT NULL
"""


def administration(where: str) -> "MariaDBAdministration":
    """Administration of a database, which is not connected to yet.

    Raises:
        GuardError: the URL cannot be read.
    """
    return MariaDBAdministration(where)


class MariaDBAdministration:
    """See Administration.

    Args:
        url: as MariaDBStore takes it.

    Raises:
        GuardError: the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        self._arguments = arguments(url)
        self._store = MariaDBStore(url, max_connections=1)

    @property
    def holds_secret(self) -> bool:
        """See Administration."""
        return bool(self._arguments["password"])

    def newest(self, chosen: Chosen, limit: int) -> list[Kept]:
        """See Administration."""
        return self._chosen(chosen, "ORDER BY taken_unix_ms DESC, `key` LIMIT %(most)s", {"most": limit})

    def all(self, chosen: Chosen, *, with_answers: bool) -> Iterator[Kept]:
        """See Administration."""
        last = b"" if chosen.keys is None else chosen.keys.first
        beyond = ">="
        while True:
            end = f"AND `key` {beyond} %(last_read)s ORDER BY `key` LIMIT {_PAGE}"
            page = self._chosen(chosen, end, {"last_read": last}, with_answers=with_answers)
            yield from page
            if len(page) < _PAGE:
                return
            last, beyond = page[-1].key, ">"

    def streams(self, limit: int) -> tuple[int, list[Stream]]:
        """See Administration."""
        [(count,)] = self._rows(STREAMS, {})
        newest = self._rows(NEWEST_STREAMS.format(most="%(most)s"), {"most": limit})
        return int(count), [Stream(row[0], row[1], row[2].decode(), row[3].decode(), row[4]) for row in newest]

    def due(self, now_unix_ms: int) -> Due:
        """See Administration."""
        [(due, claims)] = self._rows(_DUE, {"now": now_unix_ms})
        return Due(int(due) - int(claims), int(claims))

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

    def _chosen(self, chosen: Chosen, end: str, more: dict[str, object], *, with_answers: bool = False) -> list[Kept]:
        sql, values = select(chosen, _placeholder, end=end, with_answers=with_answers, quoted="`{}`")
        return [_kept(row) for row in self._rows(sql, values | more)]

    def _rows(self, sql: str, values: dict[str, object]) -> list[tuple[Any, ...]]:
        with self._masked(), closing(pymysql.connect(autocommit=True, **self._arguments)) as connection:
            cursor = connection.cursor(Cursor)
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    @contextmanager
    def _masked(self) -> Iterator[None]:
        try:
            yield
        except pymysql.Error as error:
            if errno_of(error) == NO_SUCH_TABLE:
                raise GuardError(
                    "the database has no claims of a guard; `tocsin claims migrate` makes the tables"
                ) from None
            raise StoreUnavailable(self._shown(text_of(error))) from None
        except StoreUnavailable as error:
            # Not from the error: its text may hold what is masked here.
            raise StoreUnavailable(self._shown(str(error))) from None

    def _shown(self, text: str) -> str:
        password = str(self._arguments["password"])
        for secret in (password, quote(password, safe="")) if password else ():
            text = text.replace(secret, "***")
        return f"MariaDB: {' '.join(text.split())}"


def _kept(row: tuple[Any, ...]) -> Kept:
    """Names are bytes in the table."""
    key, version, tenant, operation, *rest = row
    return Kept(key, version, tenant.decode(), operation.decode(), *rest)


def _placeholder(name: str) -> str:
    return f"%({name})s"
