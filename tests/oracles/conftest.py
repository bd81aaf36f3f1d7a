"""Cross-checks with code that is not ours: `pip install --group oracles`. No network; a missing package is a skip."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

PACKAGES = {
    "Adyen": "Adyen",
    "botocore": "botocore",
    "gidgethub": "gidgethub",
    "http_message_signatures": "http-message-signatures",
    "hubspot": "hubspot-api-client",
    "linebot": "line-bot-sdk",
    "mailgun": "mailgun",
    "mohawk": "mohawk",
    "paddle_billing": "paddle-python-sdk",
    "razorpay": "razorpay",
    "slack_sdk": "slack-sdk",
    "square": "squareup",
    "standardwebhooks": "standardwebhooks",
    "stripe": "stripe",
    "svix": "svix",
    "twilio": "twilio",
}


def _imported(name: str) -> ModuleType:
    package = PACKAGES[name.partition(".")[0]]
    # What a package warns of while it is imported is its authors' business, and no fault of this suite.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            return pytest.skip(f"{package} is not installed: python -m pip install {package}")


@pytest.fixture(scope="session", name="oracle")
def oracle_fixture() -> Callable[[str], ModuleType]:
    """Imports a module of one of PACKAGES."""
    return _imported


@pytest.fixture(autouse=True)
def _let_them_warn() -> Iterator[None]:
    """Deprecations that these packages run into when called."""
    with warnings.catch_warnings():
        for package in PACKAGES:
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=rf"{package}(\.|$)")
        yield
