from collections.abc import Callable

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
