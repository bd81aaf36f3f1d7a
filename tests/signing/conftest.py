from collections.abc import Callable

import pytest

from tocsin.signing import Verified, verify


@pytest.fixture(name="verify")
def verify_fixture() -> Callable[..., Verified]:
    """The real one. A named test that takes it can be run against a broken twin too."""
    return verify
