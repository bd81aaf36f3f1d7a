"""A service, and the fixtures of scans."""

from collections.abc import Iterator

import pytest

from tests.scan.conftest import brisk, elsewhere  # noqa: F401  fixtures
from tests.scan.services.desk import Desk
from tests.scan.services.serving import serving


@pytest.fixture
def desk() -> Iterator[Desk]:
    with serving(Desk()) as served:
        yield served
