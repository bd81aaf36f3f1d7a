"""What can go wrong with the server: answers that are lost, scripts that are flushed, memory that is full."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab._postgres import free_port
from tests.guard.redis.relay import Relay
from tests.guard.redis.server import RedisServer
from tocsin.guard import CommitUnknown, GuardError, KeyInUse, StoreUnavailable, TransactionMisuse
from tocsin.guard._store import AsyncGranted
from tocsin.guard.stores import Granted, Record
from tocsin.guard.stores.redis import AsyncRedisStore, RedisStore
from tocsin.guard.stores.redis._scripts import ABANDON, SETTLE, TAKE, Script
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim


@pytest.fixture
def relay(server: RedisServer) -> Iterator[Relay]:
    with Relay(server.port) as running:
        yield running


@pytest.fixture
def store(relay: Relay) -> Iterator[RedisStore]:
    """Through the relay."""
    made = RedisStore(relay.url)
    yield made
    made.close()


def sha(script: Script) -> bytes:
    return script.sha.encode()


def taken(store: RedisStore, name: str = "order-1") -> Granted[Any]:
    try:
        granted = store.take(claim(name), 1)
    except KeyInUse as stuck:
        pytest.fail(f"nobody can have the key: {stuck}")
    assert isinstance(granted, Granted), granted
    return granted


def test_a_take_whose_answer_is_lost_is_asked_again_and_is_its_own(store: RedisStore, relay: Relay) -> None:
    """Taken for somebody else's, the key would be held by nobody until the lease ends."""
    taken(store, "warm").abandon()
    relay.lose = {sha(TAKE): 2}
    taken(store).settle(ANSWER)
    assert relay.lose == {sha(TAKE): 0}


def test_a_settle_whose_answer_is_lost_is_asked_again_and_done_once(store: RedisStore, relay: Relay) -> None:
    taken(store, "warm").settle(ANSWER)
    relay.lose = {sha(SETTLE): 2}
    taken(store).settle(ANSWER)
    assert relay.lose == {sha(SETTLE): 0}
    assert isinstance(store.take(claim(), 10), Record)


def test_a_settle_of_which_nothing_is_heard_is_unknown_and_the_key_is_not_free(store: RedisStore, relay: Relay) -> None:
    """What the handler wrote is there. Free, the key would let it be written again."""
    taken(store, "warm").settle(ANSWER)
    granted = taken(store)
    relay.lose = {sha(SETTLE): 99}
    with pytest.raises(CommitUnknown):
        granted.settle(ANSWER)
    assert isinstance(store.take(claim(), 0), Record)


def test_a_settle_that_does_not_arrive_is_unknown_and_the_key_stays_held(server: RedisServer) -> None:
    granted_by = RedisStore(server.url)
    granted = taken(granted_by)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(CommitUnknown, match="maxmemory"):
            granted.settle(ANSWER)
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")
    with pytest.raises(KeyInUse):
        granted_by.take(claim(), 0)
    granted_by.close()


def test_an_abandon_of_which_nothing_is_heard_is_logged_and_the_lease_ends_by_itself(
    store: RedisStore, relay: Relay, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    granted = taken(store)
    relay.lose = {sha(ABANDON): 99}
    granted.abandon()
    assert "not given back before its lease ends" in caplog.text
    server.end_leases()
    relay.lose = {}
    taken(store).abandon()


def test_scripts_that_the_server_has_lost_are_sent_again(store: RedisStore, server: RedisServer) -> None:
    """By SCRIPT FLUSH, a restart, a fail-over."""
    for _ in range(2):
        server.ask("SCRIPT", "FLUSH")
        granted = taken(store)
        granted.tx.extend()
        server.ask("SCRIPT", "FLUSH")
        granted.abandon()
    taken(store).settle(ANSWER)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_evicts_keys_is_refused_until_it_no_longer_does(server: RedisServer, policy: str) -> None:
    store = RedisStore(server.url)
    server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    with pytest.raises(GuardError, match=f"maxmemory-policy is {policy}.*wanted noeviction"):
        store.check()
    with pytest.raises(StoreUnavailable, match=policy):
        store.take(claim(), 10)
    server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    taken(store).settle(ANSWER)
    server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    store.sweep(NOW_UNIX_MS)
    with pytest.raises(StoreUnavailable, match=policy):
        store.take(claim("after a sweep has looked again"), 10)
    store.close()


def test_a_server_that_keeps_nothing_on_disk_is_told_of(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tocsin.guard")
    store = RedisStore(server.url)
    store.check()
    assert "wanted appendonly yes" in caplog.text
    store.close()


def test_a_server_that_is_full_or_down_is_unavailable() -> None:
    down = f"redis://127.0.0.1:{free_port()}"
    store = RedisStore(down)
    for act in (lambda: store.take(claim(), 1), lambda: store.look(claim().key), lambda: store.sweep(NOW_UNIX_MS)):
        with pytest.raises(StoreUnavailable) as raised:
            act()
        assert store.is_own_failure(raised.value.__cause__ or raised.value)
    assert not store.is_own_failure(ValueError())
    store.close()


def test_a_password_is_in_no_error(server: RedisServer) -> None:
    store = RedisStore(f"redis://somebody:hunter2@127.0.0.1:{server.port}")
    with pytest.raises(StoreUnavailable) as raised:
        store.take(claim(), 1)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(GuardError, match="cannot be read") as refused:
        RedisStore("redis://:hunter2@host:port/0")
    assert "hunter2" not in str(refused.value)
    store.close()


@pytest.mark.parametrize("store", [RedisStore, AsyncRedisStore])
def test_a_client_that_makes_text_of_octets_is_refused(store: Callable[[Any], object]) -> None:
    with pytest.raises(GuardError, match="decode_responses"):
        store("redis://127.0.0.1/0?decode_responses=True")
    with pytest.raises(GuardError, match="decode_responses"):
        store(redis.Redis(decode_responses=True))


def test_a_client_of_the_applications_own_is_used_and_left_open(server: RedisServer) -> None:
    with redis.Redis(port=server.port, retry=Retry(NoBackoff(), 1)) as client:
        store = RedisStore(client, prefix="shop-2")
        taken(store).settle(ANSWER)
        store.close()
        assert client.ping()
    assert {name.split(b":")[0] for name in server.ask("KEYS", "*")} == {b"{shop-2}"}


@pytest.mark.parametrize("steps", range(6))
def test_a_task_that_is_cancelled_while_it_waits_has_taken_nothing(server: RedisServer, steps: int) -> None:
    """At whatever point it is; redis-py by itself goes on where it is told so in its first steps."""

    async def main() -> None:
        store = AsyncRedisStore(server.url)
        try:
            held = await store.take_async(claim(), 10)
            assert isinstance(held, AsyncGranted)
            waiting = asyncio.create_task(store.take_async(claim(), 1))
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait((waiting,))
            assert waiting.cancelled(), waiting.exception()
            await held.abandon_async()
            again = await store.take_async(claim(), 0)
            assert isinstance(again, AsyncGranted)
            await again.abandon_async()
        finally:
            await store.close_async()

    asyncio.run(main())


def test_a_task_that_is_cancelled_when_it_has_just_been_granted_gives_the_key_back(
    server: RedisServer, relay: Relay
) -> None:
    """The server has granted it; the task will not hear of it."""

    async def main() -> None:
        store = AsyncRedisStore(relay.url)
        warm = await store.take_async(claim("warm"), 10)
        await warm.abandon_async()  # type: ignore[union-attr]
        asked, go = asyncio.Event(), asyncio.Event()
        real = store._client.execute_command

        async def told(*words: Any) -> Any:
            answer = await real(*words)
            if TAKE.sha in words:
                asked.set()
                await go.wait()
            return answer

        store._client.execute_command = told  # type: ignore[method-assign]
        waiting = asyncio.create_task(store.take_async(claim(), 30))
        await asked.wait()
        waiting.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await store.close_async()

    asyncio.run(main())
    direct = RedisStore(server.url)
    taken(direct).abandon()
    direct.close()


def test_a_task_that_is_cancelled_while_it_settles_is_told_how_it_ended(server: RedisServer) -> None:
    async def main() -> None:
        store = AsyncRedisStore(server.url)
        granted = await store.take_async(claim(), 10)

        async def settle() -> None:
            await granted.settle_async(ANSWER)  # type: ignore[union-attr]
            await asyncio.sleep(0)

        settling = asyncio.create_task(settle())
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
        assert isinstance(await store.take_async(claim(), 10), Record)
        await store.close_async()

    asyncio.run(main())


def test_tasks_extend_their_leases_and_are_refused_a_server_that_evicts(server: RedisServer) -> None:
    async def main() -> None:
        store = AsyncRedisStore(server.url)
        try:
            await store.check_async()
            slow = await store.take_async(claim(), 0)
            assert isinstance(slow, AsyncGranted)
            server.end_leases()
            await slow.tx.extend()
            with pytest.raises(KeyInUse):
                await store.take_async(claim(), 0)
            server.end_leases()
            fast = await store.take_async(claim(), 0)
            assert isinstance(fast, AsyncGranted)
            with pytest.raises(TransactionMisuse, match="comes second"):
                await slow.tx.extend()
            await fast.settle_async(ANSWER)
            with pytest.raises(TransactionMisuse, match="after its handler had ended"):
                await fast.tx.extend()
            server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            assert await store.sweep_async(NOW_UNIX_MS) == 0
            with pytest.raises(StoreUnavailable, match="allkeys-lru"):
                await store.take_async(claim("another"), 0)
            assert store.is_own_failure(redis.ConnectionError())
        finally:
            await store.close_async()

    asyncio.run(main())
