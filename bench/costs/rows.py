"""What is compared, a line each: a store behind an adapter, in its guarded and its bare form.

The stores are behind the thinnest adapter there is for them, the adapters before SQLite. A new adapter is a file in
services/ and a line here; a new store a file in orders/ and a line.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Args:
        store: its name, for people.
        adapter: likewise; services that are several tell them apart by it.
        place: where the orders are: sqlite, postgresql, mariadb, redis or memory.
        orders: a module of orders/ and a class of it.
        server: the words of the service's command after `python -m`; {port} is filled in.
    """

    store: str
    adapter: str
    place: str
    orders: str
    server: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.store} | {self.adapter}"


def _gunicorn(module: str, app: str = "app") -> tuple[str, ...]:
    words = "gunicorn --bind 127.0.0.1:{port} --worker-class gthread --log-level warning --no-control-socket"
    return (*words.split(), "--workers=1", "--threads=64", f"bench.costs.services.{module}:{app}")


def _uvicorn(module: str, app: str = "app") -> tuple[str, ...]:
    words = "uvicorn --host 127.0.0.1 --port {port} --log-level warning --no-access-log"
    return (*words.split(), f"bench.costs.services.{module}:{app}")


WSGI, ASGI = ("WSGI", _gunicorn("on_wsgi")), ("ASGI", _uvicorn("on_asgi"))


def _both(store: str, place: str, module: str) -> tuple[Row, Row]:
    """For threads and for tasks."""
    return (
        Row(store, WSGI[0], place, f"{module}:OnThreads", WSGI[1]),
        Row(f"Async{store}", ASGI[0], place, f"{module}:OnTasks", ASGI[1]),
    )


ROWS = (
    Row("SQLiteStore", WSGI[0], "sqlite", "sqlite:OnThreads", WSGI[1]),
    Row("SQLiteStore", ASGI[0], "sqlite", "sqlite:OnTasks", ASGI[1]),
    *_both("PostgresStore", "postgresql", "postgres"),
    *_both("MariaDBStore", "mariadb", "mariadb"),
    *_both("SQLAlchemyStore, SQLite", "sqlite", "sqlalchemy"),
    *_both("SQLAlchemyStore, PostgreSQL", "postgresql", "sqlalchemy"),
    *_both("SQLAlchemyStore, MariaDB", "mariadb", "sqlalchemy"),
    Row("DjangoStore, SQLite", "Django", "sqlite", "django:Orders", _gunicorn("on_django", "wsgi")),
    Row("DjangoStore, PostgreSQL", "Django", "postgresql", "django:Orders", _gunicorn("on_django", "wsgi")),
    Row("MemoryStore", WSGI[0], "memory", "memory:OnThreads", WSGI[1]),
    Row("MemoryStore", ASGI[0], "memory", "memory:OnTasks", ASGI[1]),
    *_both("RedisStore", "redis", "redis"),
    Row("DjangoStore, SQLite", "Django, async def", "sqlite", "django:Orders", _uvicorn("on_django", "asgi")),
    Row("DjangoStore, SQLite", "Django REST framework", "sqlite", "django:Orders", _gunicorn("on_django", "wsgi")),
    Row("SQLiteStore", "Flask", "sqlite", "sqlite:OnThreads", _gunicorn("on_flask")),
    Row("SQLiteStore", "Starlette, async def", "sqlite", "sqlite:OnTasks", _uvicorn("on_starlette")),
    Row("SQLiteStore", "FastAPI, async def", "sqlite", "sqlite:OnTasks", _uvicorn("on_fastapi")),
    Row("SQLiteStore", "FastAPI, def", "sqlite", "sqlite:OnThreads", _uvicorn("on_fastapi")),
    Row("SQLiteStore", "Litestar, async def", "sqlite", "sqlite:OnTasks", _uvicorn("on_litestar")),
    Row("SQLiteStore", "Quart, async def", "sqlite", "sqlite:OnTasks", _uvicorn("on_quart")),
    Row("SQLiteStore", "Robyn, def", "sqlite", "sqlite:OnThreads", ("bench.costs.services.on_robyn",)),
)
