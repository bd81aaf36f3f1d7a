from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from lab._mariadb import MariaDB
from tests.guard.adapters.asgi_client import Loop
from tests.guard.mariadb.conftest import server
from tests.guard.mariadb.server import database_on
from tests.guard.postgres.cluster import Cluster
from tests.guard.postgres.conftest import cluster
from tests.guard.sqlalchemy.backends import Backend, Base
from tests.guard.sqlalchemy.shop import Shop
from tocsin.guard.stores.mariadb import MariaDBStore
from tocsin.guard.stores.postgres import PostgresStore
from tocsin.guard.stores.sqlalchemy import SQLAlchemyStore
from tocsin.guard.stores.sqlite import SQLiteStore

__all__ = ["cluster", "server"]


# The databases on servers: one of each for all tests, because to create one takes longer than most of them.


@pytest.fixture(scope="session")
def on_postgresql(cluster: Cluster) -> Iterator[Backend]:
    with cluster.database() as made:
        url = f"postgresql+psycopg://tocsin@127.0.0.1:{made.port}/{made.name}?sslmode=disable"
        yield Backend("postgresql", url, url, lambda: PostgresStore(made.conninfo()))


@pytest.fixture(scope="session")
def on_mariadb(server: MariaDB) -> Iterator[Backend]:
    with database_on(server) as made:
        where = f"tocsin@127.0.0.1:{made.port}/{made.name}"
        urls = f"mariadb+pymysql://{where}", f"mariadb+aiomysql://{where}"
        yield Backend("mariadb", *urls, lambda: MariaDBStore(made.url()))


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A database with the guard's tables and the application's, and nothing in them."""
    if request.param == "sqlite":
        path = tmp_path / "shop.db"
        made = Backend("sqlite", f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}", lambda: SQLiteStore(path))
    else:
        made = request.getfixturevalue(f"on_{request.param}")
    made.directory = tmp_path
    engine = made.engine()
    Base.metadata.create_all(engine)
    SQLAlchemyStore(engine).migrate()
    with engine.begin() as connection:
        for table in ("shop_orders", "tocsin_claims", "tocsin_forgotten", "tocsin_sequences"):
            connection.execute(text(f"DELETE FROM {table}"))
    yield made
    made.close()


@pytest.fixture
def make_shop(backend: Backend) -> Callable[..., Shop]:
    """Makes services on the database."""

    def make(**options: Any) -> Shop:
        return Shop(backend, **options)

    return make


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """The usual service: handlers get a Session."""
    return make_shop()


@pytest.fixture(scope="session")
def task_loop() -> Iterator[Loop]:
    """An event loop on a thread of its own."""
    made = Loop()
    yield made
    made.close()
