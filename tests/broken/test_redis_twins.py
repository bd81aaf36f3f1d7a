"""Every defence of the Redis store that is taken away makes a named test fail."""

from collections.abc import Iterator
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from redis.exceptions import RedisError

from tests.broken.test_guard_twins import Twin
from tests.guard.redis import test_cluster, test_contract, test_lease, test_trouble
from tests.guard.redis.cluster import RedisNodes
from tests.guard.redis.conftest import server
from tests.guard.redis.server import RedisServer, missing
from tests.guard.redis.test_cluster import nodes
from tests.guard.redis.test_trouble import relay
from tocsin.guard import testing
from tocsin.guard._contract_subject import RACERS
from tocsin.guard._store import Claim
from tocsin.guard.stores.redis import AsyncRedisStore, RedisStore, _claims
from tocsin.guard.stores.redis._claims import Ask, Held, Talk
from tocsin.guard.stores.redis._options import Names
from tocsin.guard.stores.redis._scripts import Script

__all__ = ["nodes", "relay", "server"]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    """One kind of server is enough to notice what is missing in the store."""
    if missing():
        pytest.skip(missing())
    with RedisServer("--appendonly no") as running:
        yield running


@pytest.fixture(scope="module")
def shared_nodes() -> Iterator[RedisNodes]:
    if missing():
        pytest.skip(missing())
    with RedisNodes("redis") as running:
        yield running


@pytest.fixture
def store(request: pytest.FixtureRequest, server: Any) -> Any:
    """As the noticing test's own module has it: in test_trouble through the relay."""
    noticed_by = request.getfixturevalue("twin").noticed_by
    is_relayed = noticed_by.__module__ == test_trouble.__name__
    made = RedisStore(request.getfixturevalue("relay").url if is_relayed else server.url)
    yield made
    made.close()


def reworded(patch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """A script with other words in it."""
    script: Script = getattr(_claims, name)
    assert old in script.text
    patch.setattr(_claims, name, Script(script.text.replace(old, new)))


def answers_stored_without_a_fencing_token(patch: pytest.MonkeyPatch) -> None:
    reworded(patch, "SETTLE", "if found[1] ~= token then return 0 end", "")


def keys_freed_by_their_name_alone(patch: pytest.MonkeyPatch) -> None:
    reworded(patch, "ABANDON", "if found[1] ~= ARGV[1] or found[2] == 'settled' then return 0 end", "")


def no_lease(patch: pytest.MonkeyPatch) -> None:
    """As with SET NX and no expiry: held until somebody removes it."""
    ends = "if tonumber(found[3]) > now_us then return {'held', math.ceil((found[3] - now_us) / 1000)} end"
    reworded(patch, "TAKE", ends, "if true then return {'held', 1000} end")


def lost_keys_given_to_the_next_one_all_the_same(patch: pytest.MonkeyPatch) -> None:
    reworded(patch, "TAKE", "if rerun == '0' then", "if false then")


def leases_by_the_clients_clock(patch: pytest.MonkeyPatch) -> None:
    reworded(patch, "TAKE", "local now_us = time[1] * 1000000 + time[2]", "local now_us = ARGV[4] * 1000")


def an_answer_that_was_lost_taken_for_somebody_elses(patch: pytest.MonkeyPatch) -> None:
    reworded(patch, "TAKE", "if found[2] == me then return {'granted', found[4]} end", "")


def check_then_set_in_place_of_one_script(patch: pytest.MonkeyPatch) -> None:
    """As several libraries have it: GET, and SET if nothing was there. Its window is held open until all are in it."""
    looked = Barrier(RACERS)

    def taking(names: Names, claim: Claim, **_: Any) -> Talk[Any]:
        found = yield from _claims.looking(names, claim.key)
        with suppress(BrokenBarrierError):
            looked.wait(10)
        if found is not None:
            return found
        name = names.claim(claim.key)
        yield Ask(("HSET", name, "state", "held", "token", "1"))
        return Held(claim.key, name, 1, claim.operation)

    patch.setattr(_claims, "taking", taking)


def servers_that_evict_accepted(patch: pytest.MonkeyPatch) -> None:
    def inspecting(_names: Names) -> Talk[None]:
        yield Ask(("PING",))

    patch.setattr(_claims, "inspecting", inspecting)


def cancellations_left_to_the_client(patch: pytest.MonkeyPatch) -> None:
    real = AsyncRedisStore._perform

    async def perform(store: AsyncRedisStore, step: Any) -> Any:
        return await (store._ask(step) if isinstance(step, Ask) else real(store, step))

    patch.setattr(AsyncRedisStore, "_perform", perform)


def scripts_sent_once(patch: pytest.MonkeyPatch) -> None:
    """By their names alone, as if what the server has been told were told for ever."""

    def perform(store: RedisStore, step: Any) -> Any:
        if step.script is None:
            return store._client.execute_command(*step.words)
        if step.script.sha not in sent:
            sent.add(step.script.sha)
            store._client.execute_command("SCRIPT", "LOAD", step.script.text)
        try:
            return store._client.execute_command("EVALSHA", step.script.sha, *step.words)
        except Exception as error:
            raise AssertionError(error) from error

    sent: set[str] = set()
    patch.setattr(RedisStore, "_perform", perform)


def keys_without_a_hash_tag(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Names, "fence", property(lambda names: f"{names.prefix}:fence"))


def any_node_of_a_cluster_inspected(patch: pytest.MonkeyPatch) -> None:
    """As INFO is answered by whichever node the client likes to ask."""

    def inspecting(_names: Names) -> Talk[None]:
        policy = (yield Ask(("INFO", "memory")))["maxmemory_policy"]
        assert not policy.startswith("allkeys"), policy

    patch.setattr(_claims, "inspecting", inspecting)


def nodes_that_do_not_answer_taken_for_a_defect(patch: pytest.MonkeyPatch) -> None:
    """redis-py says it by an exception that is none of its RedisErrors."""

    def as_heard(error: Exception) -> Exception:
        assert isinstance(error, RedisError), error
        return error

    patch.setattr(_claims, "as_heard", as_heard)


TWINS = [
    Twin(answers_stored_without_a_fencing_token, test_lease.test_whoever_was_overtaken_cannot_store_its_answer),
    Twin(
        keys_freed_by_their_name_alone,
        test_lease.test_whoever_was_overtaken_cannot_free_the_key_of_the_one_that_overtook_it,
    ),
    Twin(no_lease, test_lease.test_the_key_of_a_holder_that_was_killed_is_free_when_its_lease_has_ended),
    Twin(
        lost_keys_given_to_the_next_one_all_the_same,
        test_lease.test_where_nobody_may_run_it_again_the_answer_stays_unknown,
    ),
    Twin(leases_by_the_clients_clock, test_lease.test_the_servers_clock_judges_a_lease_and_not_the_clients),
    Twin(
        an_answer_that_was_lost_taken_for_somebody_elses,
        test_trouble.test_a_take_whose_answer_is_lost_is_asked_again_and_is_its_own,
    ),
    Twin(
        check_then_set_in_place_of_one_script,
        test_contract.test_redis_keeps_as_much_of_the_contract_as_it_declares,
        {"case": testing.of_many_concurrent_takers_one_is_granted, "kind": "threads"},
    ),
    Twin(
        servers_that_evict_accepted,
        test_trouble.test_a_server_that_evicts_keys_is_refused_until_it_no_longer_does,
        {"policy": "allkeys-lru"},
    ),
    Twin(
        cancellations_left_to_the_client,
        test_trouble.test_a_task_that_is_cancelled_while_it_waits_has_taken_nothing,
        {"steps": 1},
    ),
    Twin(keys_without_a_hash_tag, test_cluster.test_all_keys_of_a_store_are_in_one_slot),
    Twin(
        any_node_of_a_cluster_inspected,
        test_cluster.test_the_policy_of_the_node_that_has_the_claims_counts,
    ),
    Twin(
        nodes_that_do_not_answer_taken_for_a_defect,
        test_cluster.test_slots_that_nobody_has_and_a_cluster_that_is_down_altogether_are_unavailable,
    ),
    Twin(scripts_sent_once, test_trouble.test_scripts_that_the_server_has_lost_are_sent_again),
]


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_same_test_passes_for_the_store(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
