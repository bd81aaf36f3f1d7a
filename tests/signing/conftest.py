from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from tocsin.signing import Verified, verify

# What a test takes depends on the machine and on what else runs there: no test fails for it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(name="verify")
def verify_fixture() -> Callable[..., Verified]:
    """The real one. A named test that takes it can be run against a broken twin too."""
    return verify


class Walked(tuple[tuple[str, str], ...]):  # noqa: SLOT001  what can be counted on has no slots
    """Headers that count how often they are walked over."""

    walks = 0

    def __iter__(self) -> Iterator[tuple[str, str]]:
        self.walks += 1
        return super().__iter__()


@pytest.fixture(name="walked")
def walked_fixture() -> Callable[..., Walked]:
    """Makes headers that count how often they are walked over."""
    return Walked
