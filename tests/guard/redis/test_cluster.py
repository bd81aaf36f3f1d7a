"""Clusters of several nodes: the claims are on one of them, whoever is asked is not always that one, and it may die."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.backoff import ConstantBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from tests.guard.redis.cluster import RedisNodes
from tests.guard.redis.server import KINDS, RedisServer, missing
from tests.guard.redis.subject import Elsewhere
from tocsin.guard import CommitUnknown, GuardError, StoreUnavailable
from tocsin.guard._admin import Chosen
from tocsin.guard._store import AsyncGranted
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.redis import AsyncLease, AsyncRedisStore, Lease, RedisStore
from tocsin.guard.stores.redis._admin import administration
from tocsin.guard.stores.redis._options import Names
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim, kept_by, on_tasks


@pytest.fixture(scope="module", params=KINDS)
def shared_nodes(request: pytest.FixtureRequest) -> Iterator[RedisNodes]:
    """One cluster of each kind for all tests: it takes a second or two to come about."""
    if missing(request.param):
        pytest.skip(missing(request.param))
    with RedisNodes(request.param) as running:
        yield running


@pytest.fixture
def nodes(shared_nodes: RedisNodes) -> RedisNodes:
    """It, empty."""
    shared_nodes.owner.ask("FLUSHALL")
    return shared_nodes


class ClusterSubject(Elsewhere):
    def __init__(self, server: RedisServer) -> None:
        super().__init__(server)
        self.clients: list[Any] = []

    def open(self) -> RedisStore:
        self.clients.append(RedisCluster(host="127.0.0.1", port=self.server.port))
        return RedisStore(self.clients[-1])

    def write_effect(self, tx: Lease) -> None:
        self.write(tx.token)

    def close(self) -> None:
        for client in self.clients:
            client.close()


class AsyncClusterSubject(Elsewhere):
    def __init__(self, server: RedisServer) -> None:
        super().__init__(server)
        self.clients: list[AsyncRedisCluster] = []

    def open(self) -> AsyncRedisStore:
        self.clients.append(AsyncRedisCluster(host="127.0.0.1", port=self.server.port))
        return ClosingStore(self.clients[-1])

    async def write_effect(self, tx: AsyncLease) -> None:
        self.write(tx.token)


class ClosingStore(AsyncRedisStore):
    """A client belongs to an event loop, and has to be closed there."""

    async def close_async(self) -> None:
        await super().close_async()
        await self._client.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["threads", "tasks"])
@pytest.mark.parametrize("case", kept_by(RedisStore.declares), ids=lambda case: case.__name__)
def test_a_cluster_keeps_as_much_of_the_contract(case: Any, kind: str, nodes: RedisNodes) -> None:
    """Through a node that has none of the claims."""
    if kind == "tasks":
        with on_tasks(AsyncClusterSubject(nodes.others[0])) as bridged:
            case(bridged)
        return
    with closing(ClusterSubject(nodes.others[0])) as subject:
        case(subject)


def test_all_keys_of_a_store_are_in_one_slot(nodes: RedisNodes) -> None:
    names = Names("shop-2")
    words = [
        names.claim(b"\x00" * 32),
        names.claim(b"\xff" * 32),
        names.fence,
        names.due,
        names.forgotten,
        names.leases,
    ]
    assert len({nodes.owner.ask("CLUSTER", "KEYSLOT", word) for word in words}) == 1


def test_a_client_for_one_server_is_refused_where_the_claims_are_elsewhere(nodes: RedisNodes) -> None:
    """When the service starts, and where nobody asked then at the first request; also when they have moved away."""
    with closing(RedisStore(nodes.others[0].url)) as store:
        with pytest.raises(GuardError, match="on another node of a cluster; wanted a client for clusters"):
            store.check()
        with pytest.raises(StoreUnavailable, match="wanted a client for clusters"):
            store.take(claim(), 0)
        with pytest.raises(StoreUnavailable, match="wanted a client for clusters"):
            store.look(claim().key)

    async def on_a_task() -> None:
        elsewhere = AsyncRedisStore(nodes.others[0].url)
        with pytest.raises(GuardError, match="wanted a client for clusters"):
            await elsewhere.check_async()
        await elsewhere.close_async()

    asyncio.run(on_a_task())
    with closing(administration(nodes.others[0].url)) as admin, pytest.raises(StoreUnavailable, match="another node"):
        list(admin.all(Chosen(), with_answers=False))
    with closing(RedisStore(nodes.owner.url)) as store:
        store.check()
        granted(store).settle(ANSWER)
        nodes.hand_over()
        with pytest.raises(StoreUnavailable, match="wanted a client for clusters"):
            store.take(claim(), 0)


def test_the_policy_of_the_node_that_has_the_claims_counts(nodes: RedisNodes) -> None:
    nodes.others[0].ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    nodes.owner.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    try:
        with pytest.raises(GuardError, match="policy is allkeys-random"), client(nodes.others[0]) as through:
            RedisStore(through).check()
        nodes.owner.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        with client(nodes.others[0]) as through:
            RedisStore(through).check()
    finally:
        for node in (nodes.owner, nodes.others[0]):
            node.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_claims_that_move_to_another_node_are_found_there(nodes: RedisNodes) -> None:
    """The client has asked the old owner, is told MOVED, and asks again; the lease and its token go with them."""
    with client(nodes.others[0]) as through:
        store = RedisStore(through)
        granted(store, "settled").settle(ANSWER)
        held = granted(store)
        nodes.hand_over()
        assert isinstance(store.take(claim("settled"), 0), Record)
        held.tx.extend()
        held.settle(ANSWER)
        assert isinstance(store.take(claim(), 0), Record)
        assert store.sweep(NOW_UNIX_MS) == 0

    async def on_a_task() -> None:
        async with AsyncRedisCluster(host="127.0.0.1", port=nodes.others[0].port) as asking:
            tasks = AsyncRedisStore(asking)
            lease = await tasks.take_async(claim("on a task"), 0)
            assert isinstance(lease, AsyncGranted)
            nodes.hand_over()
            await lease.settle_async(ANSWER)
            assert isinstance(await tasks.take_async(claim("on a task"), 0), Record)

    asyncio.run(on_a_task())


def test_a_node_that_dies_is_unavailable_until_another_one_has_its_slots(nodes: RedisNodes) -> None:
    """Nobody is let through unguarded meanwhile; what the replica had heard of is known after it, and no more."""
    with client(nodes.others[0], retry=Retry(ConstantBackoff(0.01), 1)) as through:
        store = RedisStore(through)
        granted(store, "settled").settle(ANSWER)
        held, unheard = granted(store), granted(store, "held while it died")
        nodes.owner.ask("WAIT", 1, 30_000)
        nodes.owner.kill()
        with pytest.raises(StoreUnavailable) as raised:
            store.take(claim("settled"), 0)
        assert store.is_own_failure(raised.value.__cause__ or raised.value)
        with pytest.raises(CommitUnknown):
            held.settle(ANSWER)
        nodes.hand_over(owner_lives=False)
        assert isinstance(store.take(claim("settled"), 0), Record)
        unheard.settle(ANSWER)
        assert isinstance(store.take(claim("held while it died"), 0), Record)
        nodes.follower.start()
        nodes.await_follower()


def test_slots_that_nobody_has_and_a_cluster_that_is_down_altogether_are_unavailable() -> None:
    """redis-py says either by an exception that is none of its RedisErrors."""
    if missing():
        pytest.skip(missing())
    with RedisServer("--cluster-enabled yes") as node:
        slot = node.ask("CLUSTER", "KEYSLOT", "{tocsin}")
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, slot - 1)
        with client(node, require_full_coverage=False, retry=Retry(ConstantBackoff(0.01), 1)) as through:
            store = RedisStore(through)
            for _ in range(2):
                with pytest.raises(StoreUnavailable) as raised:
                    store.take(claim(), 0)
                assert store.is_own_failure(raised.value.__cause__ or raised.value)
                with pytest.raises(StoreUnavailable):
                    store.look(claim().key)
                if node.is_running:
                    node.kill()


def granted(store: RedisStore, name: str = "order-1") -> Granted[Any]:
    taken = store.take(claim(name), 1)
    assert isinstance(taken, Granted), taken
    return taken


def client(node: RedisServer, **options: Any) -> Any:
    return closing(RedisCluster(host="127.0.0.1", port=node.port, socket_timeout=30, **options))
