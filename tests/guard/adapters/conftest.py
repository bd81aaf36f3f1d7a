from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guard.adapters.asgi_client import Loop
from tests.guard.adapters.fastapi_shop import Shop, selling
from tests.guard.adapters.on_asgi import OnASGI, OnLoop
from tests.guard.adapters.on_django import OnDjango, OnDjangoRest, OnDjangoTasks
from tests.guard.adapters.on_fastapi import OnFastAPI, OnFastAPIThreads
from tests.guard.adapters.on_flask import OnFlask
from tests.guard.adapters.on_litestar import OnLitestar, OnLitestarThreads
from tests.guard.adapters.on_quart import OnQuart, OnQuartThreads
from tests.guard.adapters.on_robyn import OnRobyn, OnRobynTasks
from tests.guard.adapters.on_starlette import OnStarlette, OnStarletteThreads
from tests.guard.adapters.on_wsgi import OnWSGI
from tests.guard.adapters.service import Service

ADAPTERS: tuple[type[Service], ...] = (
    OnFlask,
    OnASGI,
    OnFastAPI,
    OnFastAPIThreads,
    OnStarlette,
    OnStarletteThreads,
    OnLitestar,
    OnLitestarThreads,
    OnQuart,
    OnQuartThreads,
    OnWSGI,
    OnRobyn,
    OnRobynTasks,
    OnDjango,
    OnDjangoRest,
    OnDjangoTasks,
)


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """An event loop on a thread of its own."""
    made = Loop()
    yield made
    made.close()


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
def adapter(request: pytest.FixtureRequest, loop: Loop) -> type[Service]:
    """Every adapter in turn."""
    made: type[Service] = request.param
    if issubclass(made, OnLoop):
        made.loop = loop
    return made


@pytest.fixture
def make(adapter: type[Service], tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Makes a service on the adapter over a database of this test; closed afterwards."""
    made: list[Service] = []

    def make(**options: Any) -> Service:
        made.append(adapter(options.pop("path", tmp_path / "orders.db"), **options))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(make: Callable[..., Service]) -> Service:
    """The usual service: hex HMAC of the body, order_id as the key."""
    return make()


@pytest.fixture
def shop(tmp_path: Path, loop: Loop) -> Iterator[Shop]:
    """An application on FastAPI, without a route."""
    made = Shop(tmp_path / "orders.db", loop)
    yield made
    made.store.close()


@pytest.fixture(params=["async def", "def"])
def sells(request: pytest.FixtureRequest, shop: Shop) -> Shop:
    """That, taking orders, in both kinds of functions."""
    return selling(shop, request.param)
