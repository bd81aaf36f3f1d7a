"""Requests that arrive while others run, on every adapter: ordered by gates, never by time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from tests.guard.adapters.service import Gate, Produced, Service, write_order
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed, Transaction
from tocsin.guard._waiting import MOST_WAITERS

Make = Callable[..., Service]


def await_waiters(service: Service, count: int) -> None:
    """Spin until so many duplicates wait."""
    in_flight = service.guard._in_flight
    while sum(entry.waiters for entry in list(in_flight._entries.values())) != count:
        pass


def gated(service: Service) -> Gate:
    service.gate = Gate()
    return service.gate


def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(service: Service) -> None:
    answers = together(64, service.order)
    assert {answer.stored() for answer in answers} == {answers[0].stored()}
    assert sum(answer.is_replay for answer in answers) == 63
    assert (service.runs, service.orders) == (1, ["17"])


def test_64_different_requests_at_once_are_all_applied(service: Service) -> None:
    numbers = iter(range(64))
    answers = together(64, lambda: service.order(next(numbers)))
    assert {answer.status for answer in answers} == {201}
    assert sorted(map(int, service.orders)) == list(range(64))


def test_a_duplicate_waits_for_the_first_and_gets_its_answer(service: Service) -> None:
    gate = gated(service)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(service.order)
        gate.entered.wait()
        again = pool.submit(service.order)
        await_waiters(service, 1)
        gate.leave.set()
    assert again.result().stored() == first.result().stored()
    assert again.result().is_replay
    assert service.orders == ["17"]


def test_a_duplicate_that_has_waited_wait_s_is_told_409_and_when_to_retry(make: Make) -> None:
    service = make(wait_s=0.02)
    gate = gated(service)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(service.order)
        gate.entered.wait()
        answer = service.order()
        gate.leave.set()
    assert (answer.status, answer.field("Retry-After")) == (409, ["1"])
    assert (service.runs, service.orders) == (1, ["17"])


def test_the_65th_waiter_is_told_409_at_once(service: Service) -> None:
    gate = gated(service)
    with ThreadPoolExecutor(MOST_WAITERS + 1) as pool:
        pool.submit(service.order)
        gate.entered.wait()
        waiting = [pool.submit(service.order) for _ in range(MOST_WAITERS)]
        await_waiters(service, MOST_WAITERS)
        turned_away = service.order()
        gate.leave.set()
    assert (turned_away.status, turned_away.field("Retry-After")) == (409, ["1"])
    assert {future.result().status for future in waiting} == {201}
    assert service.runs == 1


def test_another_request_under_a_key_in_use_is_422_while_the_first_still_runs(service: Service) -> None:
    gate = gated(service)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(service.order)
        gate.entered.wait()
        assert service.order(amount=999).status == 422
        gate.leave.set()
    assert service.orders == ["17"]


def test_duplicates_of_a_request_that_fails_run_one_after_another(make: Make) -> None:
    """Each is a retry; the first that succeeds answers the rest."""
    statuses = iter([503, 503, 201])

    def fails_twice(signed: Signed, tx: Transaction) -> Produced:
        write_order(signed, tx)
        return Produced(next(statuses))

    service = make(handler=fails_twice)
    answers = together(8, service.order)
    assert sorted(answer.status for answer in answers) == [201] * 6 + [503] * 2
    assert (service.runs, service.orders) == (3, ["17"])


def test_a_replay_does_not_wait_for_a_handler_that_holds_the_write_lock(service: Service) -> None:
    """Duplicates read what is committed; they need no turn."""
    first = service.order("earlier")
    gate = gated(service)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(service.order)
        gate.entered.wait()
        assert service.order("earlier").stored() == first.stored()
        gate.leave.set()


def test_a_request_that_cannot_get_the_write_lock_in_time_is_503(make: Make) -> None:
    """Another process holds it; a guard of its own stands for that."""
    service, other = make(), make(wait_s=0.02)
    gate = gated(service)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(service.order)
        gate.entered.wait()
        answer = other.order("another")
        gate.leave.set()
    assert (answer.status, answer.field("Retry-After")) == (503, ["1"])
    assert (other.runs, service.orders) == (0, ["17"])


def test_duplicates_in_two_processes_have_one_effect_and_one_answer(make: Make) -> None:
    services = [make(), make()]
    in_turn = cycle(services)
    answers = together(32, lambda: next(in_turn).order())
    assert {answer.stored() for answer in answers} == {answers[0].stored()}
    assert sum(service.runs for service in services) == 1
    assert services[0].orders == ["17"]


def test_a_zombie_cannot_commit_over_the_next_holder(make: Make) -> None:
    """Peers with leases run A, B and C here. A transaction has no lease: B waits, or A is rolled back."""

    def fails_late(signed: Signed, tx: Transaction) -> Produced:
        write_order(signed, tx)
        if service.runs == 1:
            raise RuntimeError("late")
        return Produced()

    service = make(handler=fails_late)
    gate = gated(service)
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(service.order)
        gate.entered.wait()
        again = pool.submit(service.order)
        await_waiters(service, 1)
        gate.leave.set()
    with pytest.raises(RuntimeError, match="late"):
        late.result()
    assert again.result().status == 200
    assert service.orders == ["17"]
