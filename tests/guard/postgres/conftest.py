from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from lab._postgres import missing
from tests.guard.postgres.cluster import Cluster, Database
from tests.guard.postgres.relay import Relay
from tests.guard.postgres.shop import PostgresShop
from tocsin.guard.stores.postgres import PostgresStore

MakeShop = Callable[..., PostgresShop]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One server for all tests that do not stop it."""
    if missing():
        pytest.skip(missing())
    with Cluster("fsync=off") as running:
        yield running


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A database of this test, with the guard's tables."""
    with cluster.database() as made:
        yield made


@pytest.fixture
def make_store(database: Database) -> Iterator[Callable[..., PostgresStore]]:
    """Makes stores on the database, or elsewhere; closed afterwards."""
    made: list[PostgresStore] = []

    def make(conninfo: Any = None, **options: Any) -> PostgresStore:
        made.append(PostgresStore(database.conninfo() if conninfo is None else conninfo, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def make_shop(database: Database) -> Iterator[MakeShop]:
    """Makes services on the database; closed afterwards."""
    made: list[PostgresShop] = []

    def make(**options: Any) -> PostgresShop:
        made.append(PostgresShop(options.pop("database", database), **options))
        return made[-1]

    yield make
    for shop in made:
        shop.store.close()


@pytest.fixture
def shop(make_shop: MakeShop) -> PostgresShop:
    return make_shop()


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[Relay]:
    """In front of the server."""
    with Relay(cluster.port) as running:
        yield running


@pytest.fixture
def relayed(
    make_shop: MakeShop, make_store: Callable[..., PostgresStore], database: Database, relay: Relay
) -> MakeShop:
    """Makes services that reach the database through the relay."""
    return partial(make_shop, store=make_store(database.conninfo(port=relay.port)))
