"""What the tests of single services share."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab._launch import Running, start
from lab._scan import scan
from lab._services import find


@contextmanager
def started(name: str) -> Iterator[Running]:
    """The service; or a skip that names what it needs, with the command that installs it."""
    if missing := find(name).missing():
        pytest.skip(f"{name} needs {missing}")
    with start(name) as running:
        yield running


def is_on_loopback_alone(running: Running) -> bool:
    """Whether it listens on 127.0.0.1 and not, as a wildcard would, on the machine's other addresses too."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.2", running.port)) != 0


def assert_a_scan_says_the_truth(running: Running, reports: Path, *checks: str) -> None:
    """For these checks. Not a quick scan: on a slow machine its time is not enough for all of them."""
    assert scan(running, reports, only=checks).wrong == []
