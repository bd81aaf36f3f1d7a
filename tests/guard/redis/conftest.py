from collections.abc import Iterator

import pytest

from tests.guard.redis.server import KINDS, RedisServer, missing


@pytest.fixture(scope="session", params=KINDS)
def shared_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """One server of each kind for all tests that do not stop it."""
    if missing(request.param):
        pytest.skip(missing(request.param))
    with RedisServer("--appendonly no", kind=request.param) as running:
        yield running


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """It, empty, and as its users would have it."""
    shared_server.ask("FLUSHALL")
    shared_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    return shared_server
