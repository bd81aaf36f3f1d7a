"""Leases and fencing tokens: what happens to a holder that was killed, or is slower than its lease."""

from collections.abc import Iterator

import pytest

from tests.guard.redis.server import RedisServer
from tocsin.guard import GuardError, KeyInUse, TransactionBroken, TransactionMisuse
from tocsin.guard.stores import Forgotten, Granted, Record
from tocsin.guard.stores.redis import Lease, RedisStore
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

NAME = "{tocsin}:claim:" + claim().key.hex()


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    made = RedisStore(server.url)
    yield made
    made.close()


def granted(store: RedisStore, name: str = "order-1") -> Granted[Lease]:
    try:
        taken = store.take(claim(name), 1)
    except KeyInUse as stuck:
        pytest.fail(f"nobody can have the key: {stuck}")
    assert isinstance(taken, Granted), taken
    return taken


def test_the_key_of_a_holder_that_was_killed_is_free_when_its_lease_has_ended(
    store: RedisStore, server: RedisServer
) -> None:
    """Without a lease it would be stuck until somebody removes it by hand."""
    granted(store)
    server.end_leases()
    granted(store).settle(ANSWER)


def test_whoever_was_overtaken_cannot_store_its_answer(store: RedisStore, server: RedisServer) -> None:
    """Its token is the smaller one. The answer that duplicates get is that of the one that overtook it."""
    slow = granted(store)
    server.end_leases()
    fast = granted(store)
    assert fast.tx.token > slow.tx.token
    with pytest.raises(TransactionBroken, match="ended before the handler did"):
        slow.settle(ANSWER)
    assert store.look(claim().key) is None
    fast.settle(ANSWER)
    with pytest.raises(TransactionBroken):
        slow.settle(ANSWER)
    assert isinstance(store.take(claim(), 10), Record)


def test_whoever_was_overtaken_cannot_free_the_key_of_the_one_that_overtook_it(
    store: RedisStore, server: RedisServer
) -> None:
    """A third one would run at the same time. Where keys are deleted by name alone it does."""
    slow = granted(store)
    server.end_leases()
    fast = granted(store)
    slow.abandon()
    with pytest.raises(KeyInUse):
        store.take(claim(), 0)
    fast.settle(ANSWER)
    slow.abandon()
    assert isinstance(store.take(claim(), 10), Record)


def test_a_lease_that_has_ended_and_that_nobody_took_over_is_settled(store: RedisStore, server: RedisServer) -> None:
    slow = granted(store)
    server.end_leases()
    slow.settle(ANSWER)
    assert isinstance(store.take(claim(), 10), Record)


def test_while_the_lease_runs_nobody_else_is_granted_the_key(store: RedisStore) -> None:
    held = granted(store)
    with pytest.raises(KeyInUse, match=r"held the key for 0\.01 s"):
        store.take(claim(), 0.01)
    held.abandon()
    granted(store).abandon()


def test_where_nobody_may_run_it_again_the_answer_stays_unknown(server: RedisServer) -> None:
    """At most once, and perhaps not at all; the holder itself may still tell how it ended."""
    store = RedisStore(server.url, may_run_again=False)
    killed, slow = granted(store, "killed"), granted(store, "slow")
    server.end_leases()
    for name in ("killed", "slow"):
        taken = store.take(claim(name), 10)
        assert isinstance(taken, Record)
        assert taken.status is None
    slow.settle(ANSWER)
    assert killed.tx.token < slow.tx.token
    found = [store.look(claim(name).key) for name in ("killed", "slow")]
    assert [record and record.status for record in found] == [None, ANSWER.status]
    assert found[0] is not None
    store.close()


def test_a_handler_that_takes_long_extends_its_lease(store: RedisStore, server: RedisServer) -> None:
    held = granted(store)
    server.end_leases()
    held.tx.extend()
    assert int(server.ask("HGET", NAME, "until_us")) > 10**15
    with pytest.raises(KeyInUse):
        store.take(claim(), 0)
    held.settle(ANSWER)


def test_a_lease_that_was_taken_over_is_not_extended(store: RedisStore, server: RedisServer) -> None:
    slow = granted(store)
    server.end_leases()
    fast = granted(store)
    with pytest.raises(TransactionMisuse, match="what this handler writes now comes second"):
        slow.tx.extend()
    fast.abandon()
    with pytest.raises(TransactionMisuse, match="after its handler had ended"):
        fast.tx.extend()


def test_tokens_grow_also_where_the_server_has_lost_its_memory(store: RedisStore, server: RedisServer) -> None:
    """By its clock. A table that has seen the last one would otherwise refuse every handler."""
    before = granted(store).tx.token
    server.ask("FLUSHALL")
    assert granted(store).tx.token > before


def test_the_servers_clock_judges_a_lease_and_not_the_clients(store: RedisStore, server: RedisServer) -> None:
    """The guard's own clock, in the claim, is months behind or ahead of it here, and decides nothing."""
    held = granted(store)
    ahead = claim(taken_unix_ms=NOW_UNIX_MS + 10**12)
    with pytest.raises(KeyInUse):
        store.take(ahead, 0)
    seconds, _ = server.ask("TIME")
    assert 0 < int(server.ask("HGET", NAME, "until_us")) / 1_000_000 - seconds <= 61
    held.abandon()


def test_no_key_has_a_time_to_live(store: RedisStore, server: RedisServer) -> None:
    """Whatever the server lets go by itself would take effect again; so volatile-* policies evict nothing of ours."""
    granted(store, "settled").settle(ANSWER)
    granted(store, "held")
    store.sweep(NOW_UNIX_MS)
    names = server.ask("KEYS", "*")
    assert len(names) >= 4
    assert {server.ask("TTL", name) for name in names} == {-1}


def test_a_message_as_old_as_a_forgotten_claim_is_rejected(store: RedisStore) -> None:
    """Only where a clock has gone back. Forgotten by a sweep, or by the next claim of its key."""
    taken = store.take(claim(kept_ms=1000), 10)
    assert isinstance(taken, Granted)
    taken.settle(ANSWER)
    assert store.sweep(NOW_UNIX_MS + 1000) == 1
    late = claim("another")
    late.earliest_unix_ms = NOW_UNIX_MS
    assert isinstance(store.take(late, 10), Forgotten)
    late.earliest_unix_ms = NOW_UNIX_MS + 1
    later = store.take(late, 10)
    assert isinstance(later, Granted)
    later.abandon()


def test_answers_go_before_their_claims(store: RedisStore) -> None:
    wanted = claim(kept_ms=2000)
    wanted.answer_until_unix_ms = NOW_UNIX_MS + 1000
    taken = store.take(wanted, 10)
    assert isinstance(taken, Granted)
    taken.settle(ANSWER)
    assert [store.sweep(NOW_UNIX_MS + at) for at in (999, 1000, 1001)] == [0, 1, 0]
    tombstone = store.look(wanted.key)
    assert tombstone is not None
    assert (tombstone.status, tombstone.headers, tombstone.body) == (ANSWER.status, None, None)
    assert [store.sweep(NOW_UNIX_MS + at) for at in (1999, 2000)] == [0, 1]
    assert store.look(wanted.key) is None


def test_what_killed_services_have_left_is_swept_after_a_day(store: RedisStore, server: RedisServer) -> None:
    granted(store, "killed")
    granted(store, "alive")
    server.end_leases()
    granted(store, "alive")
    assert store.sweep(NOW_UNIX_MS) == 1
    assert server.ask("ZCARD", "{tocsin}:leases") == 1


@pytest.mark.parametrize("lease_s", [0, 0.5, -1, float("nan"), float("inf"), 86_401])
def test_a_lease_that_is_none_is_refused(lease_s: float) -> None:
    with pytest.raises(GuardError, match=r"lease_s = .*; wanted 1 to 86400 seconds"):
        RedisStore("redis://127.0.0.1", lease_s=lease_s)


@pytest.mark.parametrize("prefix", ["", "a b", "{a}", "a*", "a" * 65, "\xe9"])
def test_a_prefix_that_would_be_read_as_something_else_is_refused(prefix: str) -> None:
    with pytest.raises(GuardError, match="wanted 1 to 64 letters"):
        RedisStore("redis://127.0.0.1", prefix=prefix)
