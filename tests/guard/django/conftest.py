from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guard.adapters.asgi_client import Loop
from tests.guard.adapters.conftest import loop
from tests.guard.django.databases import Project, postgresql, project, sqlite
from tests.guard.django.shop import DjangoShop, Handler, write_order
from tests.guard.postgres.conftest import cluster, database

__all__ = ["cluster", "database", "loop"]


@pytest.fixture(params=["sqlite", "postgresql"])
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(vendor: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Of a database of this test."""
    if vendor == "sqlite":
        return sqlite(tmp_path / "shop.db")
    made = request.getfixturevalue("database")
    # With the tables of the migration, not of PostgresStore.
    made.query("DROP TABLE tocsin_claims, tocsin_forgotten, tocsin_sequences")
    return postgresql(made)


@pytest.fixture
def site(settings: dict[str, Any], vendor: str) -> Iterator[Project]:
    """A database of the project, with the guard's tables and a table of orders."""
    with project(settings) as made:
        made.migrated()
        if vendor == "sqlite":
            made.query("CREATE TABLE orders (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL)")
        yield made


@pytest.fixture
def make_shop(site: Project, loop: Loop) -> Callable[..., DjangoShop]:
    """Makes services on the database."""

    def make(*, handler: Handler = write_order, **options: Any) -> DjangoShop:
        return DjangoShop(site, loop, handler=handler, **options)

    return make


@pytest.fixture
def shop(make_shop: Callable[..., DjangoShop]) -> DjangoShop:
    return make_shop()
