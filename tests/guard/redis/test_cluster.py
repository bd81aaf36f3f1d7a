"""A server in cluster mode, which refuses scripts whose keys are not in one slot."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis.cluster import RedisCluster

from tests.guard.redis.server import RedisServer, missing
from tests.guard.redis.subject import Elsewhere
from tocsin.guard.stores.redis import Lease, RedisStore
from tocsin.guard.testing import kept_by


@pytest.fixture(scope="module")
def node() -> Iterator[RedisServer]:
    """A cluster of one: it has all the slots, and every rule of a larger one."""
    if missing():
        pytest.skip(missing())
    with RedisServer("--cluster-enabled yes") as running:
        running.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in running.ask("CLUSTER", "INFO"):
            pass
        yield running


class ClusterSubject(Elsewhere):
    def __init__(self, server: RedisServer) -> None:
        super().__init__(server)
        server.ask("FLUSHALL")
        self.clients: list[Any] = []

    def open(self) -> RedisStore:
        self.clients.append(RedisCluster(host="127.0.0.1", port=self.server.port))
        return RedisStore(self.clients[-1])

    def write_effect(self, tx: Lease) -> None:
        self.write(tx.token)


@pytest.mark.parametrize("case", kept_by(RedisStore.declares), ids=lambda case: case.__name__)
def test_a_cluster_keeps_as_much_of_the_contract(case: Any, node: RedisServer) -> None:
    subject = ClusterSubject(node)
    try:
        case(subject)
    finally:
        for client in subject.clients:
            client.close()
