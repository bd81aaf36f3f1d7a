"""Administration of the claims in a SQLite file.

Rule: only `migrate` may create a file, put it into WAL mode or make tables; everything else works on what is there, and
reads through a connection that cannot write.
"""

import sqlite3
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from textwrap import dedent

from tocsin.guard._admin import NEWEST_STREAMS, STREAMS, Chosen, Due, Kept, Stream, select
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard.stores.sqlite import _claims
from tocsin.guard.stores.sqlite._schema import TABLES, connect
from tocsin.guard.stores.sqlite._store import SQLiteStore

# Only a recovery after a crash makes a reader wait in WAL mode; a file in another mode has writers to wait for.
_BUSY_S = 5.0
# A reader that stays in the file keeps its log from being reset, so the pages of a long export are read one by one.
_PAGE = 500
_DUE = """
    SELECT count(*), coalesce(sum(claim_until_unix_ms IS NOT NULL AND claim_until_unix_ms <= :now), 0)
    FROM tocsin_claims WHERE due_unix_ms <= :now AND status IS NOT NULL
"""


def administration(where: str) -> "SQLiteAdministration":
    """Administration of a database file, which is not opened yet."""
    return SQLiteAdministration(Path(where).absolute())


class SQLiteAdministration:
    """See Administration.

    Args:
        path: the database file, absolute.
    """

    holds_secret = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: SQLiteStore | None = None

    def newest(self, chosen: Chosen, limit: int) -> list[Kept]:
        """See Administration."""
        sql, values = select(chosen, _placeholder, end="ORDER BY id DESC LIMIT :most")
        with self._reading() as connection:
            return [Kept(*row) for row in connection.execute(sql, values | {"most": limit})]

    def all(self, chosen: Chosen, *, with_answers: bool) -> Iterator[Kept]:
        """See Administration."""
        last = 0
        while True:
            page = self._page(chosen, last, with_answers=with_answers)
            yield from (kept for _, kept in page)
            if len(page) < _PAGE:
                return
            last = page[-1][0]

    def streams(self, limit: int) -> tuple[int, list[Stream]]:
        """See Administration."""
        with self._reading(TABLES.keys()) as connection:
            [count] = connection.execute(STREAMS).fetchone()
            newest = connection.execute(NEWEST_STREAMS.format(most="?"), (limit,))
            return count, [Stream(*row) for row in newest]

    def due(self, now_unix_ms: int) -> Due:
        """See Administration."""
        with self._reading() as connection:
            due, claims = connection.execute(_DUE, {"now": now_unix_ms}).fetchone()
            return Due(due - claims, claims)

    def prune(self, now_unix_ms: int) -> int:
        """See Administration."""
        if self._opened is None:
            # Making a store creates what is missing.
            with self._reading():
                self._opened = SQLiteStore(self._path)
        return self._opened.sweep(now_unix_ms)

    def sql(self) -> str:
        """See Administration."""
        return "".join(f"{dedent(one).strip()};\n" for one in ("PRAGMA journal_mode = wal", *TABLES.values()))

    def migrate(self) -> None:
        """See Administration."""
        SQLiteStore(self._path).close()

    def close(self) -> None:
        """See Administration."""
        if self._opened is not None:
            self._opened.close()

    def _page(self, chosen: Chosen, last: int, *, with_answers: bool) -> list[tuple[int, Kept]]:
        sql, values = select(
            chosen, _placeholder, end="AND id > :id ORDER BY id LIMIT :most", with_answers=with_answers, more=("id",)
        )
        with self._reading() as connection:
            rows = connection.execute(sql, values | {"id": last, "most": _PAGE})
            return [(row[0], Kept(*islice(row, 1, None))) for row in rows]

    @contextmanager
    def _reading(self, tables: AbstractSet[str] = _claims.TABLES.keys()) -> Iterator[sqlite3.Connection]:
        if not self._path.is_file():
            raise GuardError(f"{self._path} is no file; wanted the path of a database file")
        try:
            with closing(connect(self._path, mode="rw", busy_s=_BUSY_S)) as connection:
                connection.execute("PRAGMA query_only = ON")
                found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
                # A service of another version, or in another language, may have made fewer tables than `migrate` does.
                if not tables <= found:
                    raise GuardError(f"{self._path} has no claims of a guard; `tocsin claims migrate` makes the tables")
                yield connection
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path} cannot be read: {error}") from error


def _placeholder(name: str) -> str:
    return f":{name}"
