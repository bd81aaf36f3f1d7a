from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guard.shop import Shop


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Makes a service over a database of this test; closed afterwards."""
    made: list[Shop] = []

    def make(**options: Any) -> Shop:
        made.append(Shop(options.pop("path", tmp_path / "orders.db"), **options))
        return made[-1]

    yield make
    for shop in made:
        shop.store.close()


@pytest.fixture
def shop(make_shop: Callable[..., Shop]) -> Shop:
    """The usual service: hex HMAC of the body, order_id as the key."""
    return make_shop()
