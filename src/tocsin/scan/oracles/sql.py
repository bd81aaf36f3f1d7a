"""A user's SQL query, on SQLite or PostgreSQL. Edge: databases.

Rule: it reads. The connection can write nothing, and variables are bound, for a service may have chosen their values.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

from tocsin.scan._errors import CannotTell
from tocsin.scan._number import parsed
from tocsin.scan._plan import Query, State

_WITHIN_S = 5.0
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_Rows = Callable[[Sequence[str]], list[Sequence[object]]]


def open_query(source: Query, folder: Path, closing: ExitStack) -> Callable[[State, Mapping[str, str]], Decimal]:
    """What asks the database. Raises CannotTell if it cannot be opened."""
    kind, database = _named(source.database)
    rows, names = (_sqlite if kind == "sqlite" else _postgresql)(source, database, folder, closing)

    def read(state: State, values: Mapping[str, str]) -> Decimal:
        return _number(state, rows([values[name] for name in names]))

    return read


def _named(database: str) -> tuple[str, str]:
    """Which driver, and what it is given."""
    if database.startswith("env:"):
        name = database.removeprefix("env:")
        if name not in os.environ:
            raise CannotTell(f"the database is named by {name}, which is not set in the environment")
        database = os.environ[name]
    kind, _, rest = database.partition(":")
    if kind not in {"sqlite", "postgresql", "postgres"}:
        raise CannotTell("the database in the environment is none that is known: wanted sqlite: or postgresql:")
    return kind, rest if kind == "sqlite" else database


def _sqlite(source: Query, path: str, folder: Path, closing: ExitStack) -> tuple[_Rows, tuple[str, ...]]:
    statement, names = source.statement.bound(lambda _: "?", lambda text: text)
    uri = f"file:{quote(str((folder / path).resolve()))}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=_WITHIN_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise CannotTell(f"the database cannot be opened: {error}") from None
    closing.callback(connection.close)
    # Read-only holds for the file that was opened; ATTACH would open another one.
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)

    def rows(values: Sequence[str]) -> list[Sequence[object]]:
        timer = threading.Timer(_WITHIN_S, connection.interrupt)
        timer.start()
        try:
            return list(connection.execute(statement, values).fetchmany(2))
        except sqlite3.Error as error:
            raise CannotTell(f"the query failed: {error}") from None
        finally:
            timer.cancel()
            timer.join()

    return rows, names


def _postgresql(source: Query, database: str, _folder: Path, closing: ExitStack) -> tuple[_Rows, tuple[str, ...]]:
    try:
        import psycopg  # noqa: PLC0415  the driver is needed only here
    except ModuleNotFoundError:
        raise CannotTell("the query needs psycopg: pip install 'tocsin[postgres]'") from None
    statement, names = source.statement.bound(lambda _: "%s", lambda text: text.replace("%", "%%"))
    settings = f"-c default_transaction_read_only=on -c statement_timeout={int(_WITHIN_S * 1000)}"
    try:
        connection = psycopg.connect(database, autocommit=True, connect_timeout=int(_WITHIN_S), options=settings)
    except psycopg.Error:
        # Not its message: that may repeat what stands in the database's URL.
        raise CannotTell("the database cannot be opened: is it there, and are user and password right?") from None
    closing.callback(connection.close)

    def rows(values: Sequence[str]) -> list[Sequence[object]]:
        try:
            # Alone in a transaction that is read-only by name: a statement cannot switch that off for itself.
            with connection.transaction():
                connection.execute("SET TRANSACTION READ ONLY")
                return list(connection.execute(statement.encode(), values).fetchmany(2))
        except psycopg.Error as error:
            said = error.diag.message_primary or type(error).__name__
            raise CannotTell(f"the query failed: {said}") from None

    return rows, names


def _number(state: State, rows: list[Sequence[object]]) -> Decimal:
    if len(rows) != 1 or len(rows[0]) != 1:
        raise CannotTell(f"[[state]] {state.name}: wanted one row with one number")
    found = rows[0][0]
    if isinstance(found, (int, float, str, Decimal)) and not isinstance(found, bool):
        number = parsed(found)
        if number.is_finite():
            return number
    raise CannotTell(f"[[state]] {state.name}: the row holds no number")
