"""What a store on SQLAlchemy is given: an engine, or what makes the application's sessions.

Rule: whatever could write past the guard's one transaction is refused when the store is made: sessions with an engine
for each of their tables, two-phase commits, a database that ends with its connection.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from tocsin.guard._errors import GuardError
from tocsin.guard.stores.sqlalchemy._work import Database, Wait

# What the dialect and the driver are called, and where they are spoken.
_DATABASES = {
    ("sqlite", "pysqlite"): "_sqlite:SQLiteDatabase",
    ("sqlite", "aiosqlite"): "_sqlite:SQLiteDatabase",
    ("postgresql", "psycopg"): "_postgres:PostgresDatabase",
    ("postgresql", "psycopg_async"): "_postgres:PostgresDatabase",
    ("mysql", "pymysql"): "_mariadb:MariaDBDatabase",
    ("mariadb", "pymysql"): "_mariadb:MariaDBDatabase",
    ("mysql", "aiomysql"): "_mariadb:MariaDBDatabase",
    ("mariadb", "aiomysql"): "_mariadb:MariaDBDatabase",
}
_WANTED = "sqlite, postgresql+psycopg, mariadb+pymysql; on an event loop sqlite+aiosqlite and mariadb+aiomysql"


def engine_of(source: "Engine | sessionmaker[Any]") -> Engine:
    """The engine on which everything is written. Raises GuardError."""
    if isinstance(source, Engine):
        return source
    if not isinstance(source, sessionmaker):
        raise GuardError(f"SQLAlchemyStore: {type(source).__name__}; wanted an Engine or a sessionmaker")
    engine = _bound(source.kw, source.class_)
    if not isinstance(engine, Engine):
        raise GuardError(f"SQLAlchemyStore: its sessions are bound to {_name(engine)}; wanted an Engine")
    return engine


def async_engine_of(source: "AsyncEngine | async_sessionmaker[Any]") -> AsyncEngine:
    """Likewise, on an event loop. Raises GuardError."""
    if isinstance(source, AsyncEngine):
        return source
    if not isinstance(source, async_sessionmaker):
        raise GuardError(
            f"AsyncSQLAlchemyStore: {type(source).__name__}; wanted an AsyncEngine or an async_sessionmaker"
        )
    engine = _bound(source.kw, source.kw.get("sync_session_class", source.class_.sync_session_class))
    if not isinstance(engine, AsyncEngine):
        raise GuardError(f"AsyncSQLAlchemyStore: its sessions are bound to {_name(engine)}; wanted an AsyncEngine")
    return engine


def database_of(engine: Engine, wait: Wait | None) -> Database:
    """How the engine's database is spoken to.

    Raises:
        GuardError: it is none of those that the store knows, or one that cannot keep a claim.
    """
    spoken = _DATABASES.get((engine.dialect.name, engine.dialect.driver))
    if spoken is None:
        raise GuardError(f"{engine.dialect.name}+{engine.dialect.driver} is not known to the store; wanted {_WANTED}")
    if engine.dialect.name == "sqlite" and _is_in_memory(engine):
        raise GuardError("a SQLite database in memory ends with its connection, and claims with it; wanted a file")
    if engine.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise GuardError("the engine's isolation level is AUTOCOMMIT: there is no transaction; wanted any other level")
    module, _, name = spoken.partition(":")
    kind: Callable[[Wait | None], Database] = getattr(import_module(f"tocsin.guard.stores.sqlalchemy.{module}"), name)
    return kind(wait)


def session_on(source: "sessionmaker[Any]", connection: Connection) -> Any:  # noqa: ANN401  the application's own class
    """A session of the application's, inside the guard's transaction: what it commits is a savepoint."""
    return source(bind=connection, join_transaction_mode="create_savepoint")


def most_connections(engine: Engine) -> int:
    """How many the pool keeps; what it opens beyond them is left to the rest of the application."""
    size = getattr(engine.pool, "size", None)
    return max(1, size()) if callable(size) else 32


def _bound(kw: dict[str, Any], session_class: type[Session]) -> object:
    if kw.get("binds"):
        raise GuardError("its sessions have `binds`: what goes to another engine is outside of the transaction")
    if kw.get("twophase"):
        raise GuardError("its sessions have `twophase`: a prepared transaction is committed by somebody else")
    if session_class.get_bind is not Session.get_bind:
        raise GuardError(f"{session_class.__name__} chooses its engine itself (get_bind); wanted one engine for all")
    return kw.get("bind")


def _is_in_memory(engine: Engine) -> bool:
    url = make_url(engine.url)
    name = url.database or ""
    return not name or ":memory:" in name or url.query.get("mode") == "memory" or "mode=memory" in name


def _name(engine: object) -> str:
    return "nothing" if engine is None else type(engine).__name__
