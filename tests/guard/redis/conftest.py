from collections.abc import Iterator

import pytest

from tests.guard.redis.server import RedisServer, missing


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    """One server for all tests that do not stop it."""
    if missing():
        pytest.skip(missing())
    with RedisServer("--appendonly no") as running:
        yield running


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """It, empty, and as its users would have it."""
    shared_server.ask("FLUSHALL")
    shared_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    return shared_server
