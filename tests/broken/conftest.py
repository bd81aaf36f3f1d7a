import gc
import warnings
from collections.abc import Iterator

import pytest

from tests.guard.conftest import make_shop, shop

__all__ = ["litter_collected", "make_shop", "shop"]


@pytest.fixture
def litter_collected() -> Iterator[None]:
    """What a twin lost without closing it is let go of here: whoever's test it met later would fail for it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
