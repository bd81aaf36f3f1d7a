from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from lab._mariadb import CARELESS, MariaDB, missing
from tests.guard.mariadb.relay import Relay
from tests.guard.mariadb.server import Database, database_on
from tests.guard.mariadb.shop import MariaDBShop
from tocsin.guard.stores.mariadb import MariaDBStore

MakeShop = Callable[..., MariaDBShop]


@pytest.fixture(scope="session")
def server() -> Iterator[MariaDB]:
    """One server for all tests that do not stop it."""
    if missing():
        pytest.skip(missing())
    with MariaDB(*CARELESS) as running:
        yield running


@pytest.fixture
def database(server: MariaDB) -> Iterator[Database]:
    """A database of this test, with the guard's tables."""
    with database_on(server) as made:
        yield made


@pytest.fixture
def make_store(database: Database) -> Iterator[Callable[..., MariaDBStore]]:
    """Makes stores on the database, or elsewhere; closed afterwards."""
    made: list[MariaDBStore] = []

    def make(url: Any = None, **options: Any) -> MariaDBStore:
        made.append(MariaDBStore(database.url() if url is None else url, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def make_shop(database: Database) -> Iterator[MakeShop]:
    """Makes services on the database; closed afterwards."""
    made: list[MariaDBShop] = []

    def make(**options: Any) -> MariaDBShop:
        made.append(MariaDBShop(options.pop("database", database), **options))
        return made[-1]

    yield make
    for shop in made:
        shop.store.close()


@pytest.fixture
def shop(make_shop: MakeShop) -> MariaDBShop:
    return make_shop()


@pytest.fixture
def relay(server: MariaDB) -> Iterator[Relay]:
    """In front of the server."""
    with Relay(server.port) as running:
        yield running


@pytest.fixture
def relayed(make_shop: MakeShop, make_store: Callable[..., MariaDBStore], database: Database, relay: Relay) -> MakeShop:
    """Makes services that reach the database through the relay."""
    # A COMMIT that is withheld is idle for as long as a busy machine likes; the server must not undo it meanwhile.
    return partial(make_shop, store=make_store(database.url(port=relay.port), idle_s=3600))
