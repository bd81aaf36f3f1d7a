from collections.abc import Iterator

import pytest

from lab._bruteforce import OrderDesk, sign_hex, sign_tocsin_v1
from lab._launch import start


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[OrderDesk]:
    with start("flask-vulnerable") as running:
        yield OrderDesk(running, sign_hex)


@pytest.fixture(scope="module")
def published() -> Iterator[OrderDesk]:
    with start("flask-published") as running:
        yield OrderDesk(running, sign_hex, has_stock=False)


@pytest.fixture(scope="module")
def guarded() -> Iterator[OrderDesk]:
    with start("flask-guarded") as running:
        yield OrderDesk(running, sign_tocsin_v1)
