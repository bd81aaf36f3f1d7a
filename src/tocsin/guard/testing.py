"""The contract of a store, as cases that any store can be run through.

In a test module:

    @pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
    def test_contract(case, tmp_path):
        case(MySubject(tmp_path))

An async store runs through the same cases:

    with on_tasks(MyAsyncSubject(tmp_path)) as subject:
        case(subject)

A store that declares less than all (see Declares) is run through what it does declare: kept_by(store.declares).

A case raises AssertionError where the store breaks its word. Order is made by barriers and by the steps themselves,
never by waiting for some time.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread
from typing import Any

from tocsin.guard._bridge import AsyncSubject, on_tasks
from tocsin.guard._contract_order import (
    a_message_is_applied_if_it_is_newer_than_all_before_it,
    an_abandoned_message_leaves_no_number_behind,
    an_older_message_waits_for_a_newer_one_that_has_not_ended,
    of_many_messages_at_once_each_is_newer_than_the_one_before,
    sweeping_forgets_no_stream,
)
from tocsin.guard._contract_subject import (
    ANSWER,
    NOW_UNIX_MS,
    RACERS,
    WAIT_S,
    Subject,
    Tx,
    claim,
    granted_of,
    open_on,
)
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard._store import Declares, Granted, Record, Store

__all__ = ["ANSWER", "CONTRACT", "NOW_UNIX_MS", "AsyncSubject", "Subject", "claim", "kept_by", "on_tasks"]


def settled_claim_effect_and_answer_are_there_together(subject: Subject[Tx]) -> None:
    """What is settled is read by every other store, with the bytes that were stored."""
    with open_on(subject, 2) as (store, other):
        granted = granted_of(store, claim())
        subject.write_effect(granted.tx)
        granted.settle(ANSWER)
        record = other.look(claim().key)
        assert record == Record(b"R" + bytes(32), ANSWER.status, ANSWER.headers, ANSWER.body, None, None)
    assert subject.effects() == 1


def before_settling_nobody_sees_claim_or_effect(subject: Subject[Tx]) -> None:
    """There is no state in between."""
    with open_on(subject, 2) as (store, other):
        granted = granted_of(store, claim())
        subject.write_effect(granted.tx)
        assert other.look(claim().key) is None
        assert subject.effects() == 0
        granted.abandon()


def abandoned_claim_and_effect_are_gone(subject: Subject[Tx]) -> None:
    """A retry after a roll-back runs."""
    with open_on(subject) as (store,):
        granted = granted_of(store, claim())
        subject.write_effect(granted.tx)
        granted.abandon()
        assert store.look(claim().key) is None
        assert subject.effects() == 0
        granted_of(store, claim()).abandon()


def a_settled_key_is_not_granted_again(subject: Subject[Tx]) -> None:
    """The answer comes back in the claim's place, to this store and to every other."""
    with open_on(subject, 2) as stores:
        granted = granted_of(stores[0], claim())
        subject.write_effect(granted.tx)
        granted.settle(ANSWER)
        for store in stores:
            taken = store.take(claim(), WAIT_S)
            assert isinstance(taken, Record), f"a settled key was granted again: {taken}"
            assert taken.body == ANSWER.body
    assert subject.effects() == 1


def of_many_concurrent_takers_one_is_granted(subject: Subject[Tx]) -> None:
    """Stores of their own, as processes have them; the others get the answer of the one."""
    start = Barrier(RACERS)
    records: list[Record] = []
    errors: list[BaseException] = []

    def race(store: Store[Tx]) -> None:
        try:
            start.wait()
            taken = store.take(claim(), WAIT_S)
            if isinstance(taken, Granted):
                subject.write_effect(taken.tx)
                taken.settle(ANSWER)
            elif isinstance(taken, Record):
                records.append(taken)
        except BaseException as error:  # noqa: BLE001  reported by the assertion below
            errors.append(error)

    with open_on(subject, RACERS) as stores:
        racers = [Thread(target=race, args=(store,)) for store in stores]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
    assert not errors, f"a racer failed: {errors[0]!r}"
    assert subject.effects() == 1, f"{subject.effects()} effects of one key"
    assert [record.body for record in records] == [ANSWER.body] * (RACERS - 1)


def different_keys_are_both_granted(subject: Subject[Tx]) -> None:
    """One settled key is in no other's way."""
    with open_on(subject) as (store,):
        for name in ("order-1", "order-2"):
            granted = granted_of(store, claim(name))
            subject.write_effect(granted.tx)
            granted.settle(ANSWER)
    assert subject.effects() == 2  # noqa: PLR2004  one a key


def a_taker_that_waits_too_long_is_told_so_and_writes_nothing(subject: Subject[Tx]) -> None:
    """Locked is StoreUnavailable, in bounded time, whoever holds the lock."""
    with open_on(subject, 2) as (store, other):
        granted = granted_of(store, claim("order-1"))
        try:
            # On a thread of its own: where both are one store, this one is inside of what it has been granted.
            with ThreadPoolExecutor(1) as elsewhere:
                taken = elsewhere.submit(other.take, claim("order-1"), 0.05).result()
        except StoreUnavailable:
            taken = None
        finally:
            granted.abandon()
        assert taken is None, f"two hold one key: {taken}"
        granted_of(other, claim("order-1")).abandon()


def a_key_is_not_taken_inside_of_itself(subject: Subject[Tx]) -> None:
    """A handler that calls itself is wrong for good, and not a request to be sent again while another one runs."""
    with open_on(subject) as (store,):
        granted = granted_of(store, claim())
        told: object = None
        try:
            told = store.take(claim(), 0)
        except (GuardError, StoreUnavailable) as error:
            told = error
        finally:
            granted.abandon()
        assert isinstance(told, GuardError), f"a handler that calls itself is told: {told!r}"
        granted_of(store, claim()).abandon()


def an_expired_claim_is_granted_again(subject: Subject[Tx]) -> None:
    """From the moment on at which it may be forgotten, and not before."""
    with open_on(subject) as (store,):
        granted_of(store, claim(kept_ms=1000)).settle(ANSWER)
        assert isinstance(store.take(claim(taken_unix_ms=NOW_UNIX_MS + 999), WAIT_S), Record)
        granted_of(store, claim(taken_unix_ms=NOW_UNIX_MS + 1000)).abandon()


def sweeping_lets_go_of_what_is_due_and_of_nothing_else(subject: Subject[Tx]) -> None:
    """A claim that is kept for ever survives every sweep."""
    with open_on(subject) as (store,):
        granted_of(store, claim("short", kept_ms=1000)).settle(ANSWER)
        granted_of(store, claim("for ever")).settle(ANSWER)
        store.sweep(NOW_UNIX_MS + 999)
        assert store.look(claim("short").key) is not None
        store.sweep(NOW_UNIX_MS + 1000)
        assert store.look(claim("short").key) is None
        assert store.look(claim("for ever").key) is not None


CONTRACT = (
    settled_claim_effect_and_answer_are_there_together,
    before_settling_nobody_sees_claim_or_effect,
    abandoned_claim_and_effect_are_gone,
    a_settled_key_is_not_granted_again,
    of_many_concurrent_takers_one_is_granted,
    different_keys_are_both_granted,
    a_taker_that_waits_too_long_is_told_so_and_writes_nothing,
    a_key_is_not_taken_inside_of_itself,
    an_expired_claim_is_granted_again,
    sweeping_lets_go_of_what_is_due_and_of_nothing_else,
    a_message_is_applied_if_it_is_newer_than_all_before_it,
    an_abandoned_message_leaves_no_number_behind,
    an_older_message_waits_for_a_newer_one_that_has_not_ended,
    of_many_messages_at_once_each_is_newer_than_the_one_before,
    sweeping_forgets_no_stream,
)

_NEEDS_ATOMIC = (
    before_settling_nobody_sees_claim_or_effect,
    abandoned_claim_and_effect_are_gone,
    a_key_is_not_taken_inside_of_itself,
)
_NEEDS_CROSS_PROCESS = (
    settled_claim_effect_and_answer_are_there_together,
    a_settled_key_is_not_granted_again,
    of_many_concurrent_takers_one_is_granted,
    a_taker_that_waits_too_long_is_told_so_and_writes_nothing,
    a_message_is_applied_if_it_is_newer_than_all_before_it,
    an_older_message_waits_for_a_newer_one_that_has_not_ended,
    of_many_messages_at_once_each_is_newer_than_the_one_before,
)
_NEEDS_ORDER = CONTRACT[CONTRACT.index(a_message_is_applied_if_it_is_newer_than_all_before_it) :]


def kept_by(declares: Declares) -> tuple[Callable[[Any], None], ...]:
    """The cases that a store which declares this has to pass; it fails the others, or declares too little.

    Where processes do not share claims, what the suite opens more than once are stores that know nothing of each
    other. A subject whose `open` gives one store again and again shows that it keeps the same cases inside a process.
    """
    return tuple(
        case
        for case in CONTRACT
        if (declares.atomic or case not in _NEEDS_ATOMIC)
        and (declares.cross_process or case not in _NEEDS_CROSS_PROCESS)
        and (declares.ordered or case not in _NEEDS_ORDER)
    )
