"""Duplicates that arrive while the first request runs: real threads, ordered by state and never by time."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from flask import abort

from tests.guard.shop import Shop, write_order
from tocsin.guard import Signed, Transaction
from tocsin.guard._waiting import MOST_WAITERS

MakeShop = Callable[..., Shop]


class Gate:
    """A handler that is inside until a test lets it go on."""

    def __init__(self, then: Callable[..., Any] = write_order) -> None:
        self.entered = Event()
        self.leave = Event()
        self.then = then

    def __call__(self, signed: Signed, tx: Transaction) -> Any:
        self.entered.set()
        assert self.leave.wait(30)
        return self.then(signed, tx)


def await_waiters(shop: Shop, count: int) -> None:
    """Spin until so many duplicates wait."""
    in_flight = shop.guard._in_flight
    while sum(entry.waiters for entry in list(in_flight._entries.values())) != count:
        pass


def together(count: int, task: Callable[[], Any]) -> list[Any]:
    """Run a task so many times at once; what each gave."""
    start = Barrier(count)

    def run() -> Any:
        start.wait()
        return task()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(count)]]


def test_64_identical_requests_at_once_have_one_effect_and_identical_answers(make_shop: MakeShop) -> None:
    shop = make_shop(guard={"wait_s": 30})
    answers = together(64, shop.order)
    assert {(answer.status_code, answer.data) for answer in answers} == {(200, answers[0].data)}
    assert (shop.runs, shop.orders) == (1, ["17"])


def test_64_different_requests_at_once_are_all_applied(make_shop: MakeShop) -> None:
    shop = make_shop(guard={"wait_s": 30})
    numbers = iter(range(64))
    answers = together(64, lambda: shop.order(next(numbers)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(map(int, shop.orders)) == list(range(64))


def test_a_duplicate_waits_for_the_first_and_gets_its_answer(make_shop: MakeShop) -> None:
    gate = Gate()
    shop = make_shop(handler=gate, guard={"wait_s": 30})
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shop.order)
        gate.entered.wait()
        again = pool.submit(shop.order)
        await_waiters(shop, 1)
        gate.leave.set()
    assert again.result().data == first.result().data
    assert again.result().headers["Idempotent-Replayed"] == "true"
    assert shop.orders == ["17"]


def test_a_duplicate_that_has_waited_wait_s_is_told_409_and_when_to_retry(make_shop: MakeShop) -> None:
    gate = Gate()
    shop = make_shop(handler=gate, guard={"wait_s": 0.02})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.order)
        gate.entered.wait()
        answer = shop.order()
        gate.leave.set()
    assert answer.status_code == 409
    assert answer.headers["Retry-After"] == "1"
    assert json.loads(answer.data)["title"] == "Conflict"
    assert (shop.runs, shop.orders) == (1, ["17"])


def test_the_65th_waiter_is_told_409_at_once(make_shop: MakeShop) -> None:
    gate = Gate()
    shop = make_shop(handler=gate, guard={"wait_s": 30})
    with ThreadPoolExecutor(MOST_WAITERS + 1) as pool:
        pool.submit(shop.order)
        gate.entered.wait()
        waiting = [pool.submit(shop.order) for _ in range(MOST_WAITERS)]
        await_waiters(shop, MOST_WAITERS)
        turned_away = shop.order()
        gate.leave.set()
    assert turned_away.status_code == 409
    assert turned_away.headers["Retry-After"] == "1"
    assert {future.result().status_code for future in waiting} == {200}
    assert shop.runs == 1


def test_another_request_under_a_key_in_use_is_422_while_the_first_still_runs(make_shop: MakeShop) -> None:
    gate = Gate()
    shop = make_shop(handler=gate, guard={"wait_s": 30})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.order)
        gate.entered.wait()
        assert shop.order(amount=999).status_code == 422
        gate.leave.set()
    assert shop.orders == ["17"]


def test_duplicates_of_a_request_that_fails_run_one_after_another(make_shop: MakeShop) -> None:
    """Each is a retry; the first that succeeds answers the rest."""
    failures = iter([True, True, False])

    def fails_twice(signed: Signed, tx: Transaction) -> Any:
        write_order(signed, tx)
        if next(failures):
            abort(503)
        return "done"

    shop = make_shop(handler=fails_twice, guard={"wait_s": 30})
    answers = together(8, shop.order)
    assert sorted(answer.status_code for answer in answers) == [200] * 6 + [503] * 2
    assert (shop.runs, shop.orders) == (3, ["17"])


def test_a_replay_does_not_wait_for_a_handler_that_holds_the_write_lock(make_shop: MakeShop) -> None:
    """Duplicates read what is committed; they need no turn."""
    shop = make_shop()
    first = shop.order("earlier")
    gate = Gate()
    shop.handler = gate
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.order)
        gate.entered.wait()
        assert shop.order("earlier").data == first.data
        gate.leave.set()


def test_a_first_request_that_cannot_get_the_write_lock_in_time_is_503(make_shop: MakeShop) -> None:
    gate = Gate()
    shop = make_shop(handler=gate, guard={"wait_s": 0.02})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.order)
        gate.entered.wait()
        answer = shop.order("another")
        gate.leave.set()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert (shop.runs, shop.orders) == (1, ["17"])


def test_a_duplicate_in_another_process_that_times_out_is_503(make_shop: MakeShop) -> None:
    """SQLite cannot tell whose lock it waits for. Two guards of their own stand for two processes."""
    gate = Gate()
    shop = make_shop(handler=gate)
    other = make_shop(guard={"wait_s": 0.02})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.order)
        gate.entered.wait()
        answer = other.order()
        gate.leave.set()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert other.runs == 0
    assert other.order().headers["Idempotent-Replayed"] == "true"


def test_duplicates_in_two_processes_have_one_effect_and_one_answer(make_shop: MakeShop) -> None:
    shops = [make_shop(guard={"wait_s": 30}) for _ in range(2)]
    shops_in_turn = cycle(shops)
    answers = together(32, lambda: next(shops_in_turn).order())
    assert {(answer.status_code, answer.data) for answer in answers} == {(200, answers[0].data)}
    assert sum(shop.runs for shop in shops) == 1
    assert shops[0].orders == ["17"]


def test_a_zombie_cannot_commit_over_the_next_holder(make_shop: MakeShop) -> None:
    """Peers with leases run A, B and C here. A transaction has no lease: B waits, or A is rolled back."""

    def fails_late(signed: Signed, tx: Transaction) -> Any:
        write_order(signed, tx)
        raise RuntimeError("late")

    gate = Gate(fails_late)
    shop = make_shop(handler=gate, guard={"wait_s": 30})
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(shop.order)
        gate.entered.wait()
        shop.handler = write_order
        again = pool.submit(shop.order)
        await_waiters(shop, 1)
        gate.leave.set()
    with pytest.raises(RuntimeError, match="late"):
        late.result()
    assert again.result().status_code == 200
    assert shop.orders == ["17"]


def test_a_thread_that_a_handler_starts_cannot_use_its_transaction(make_shop: MakeShop) -> None:
    caught: list[Exception] = []

    def starts_a_thread(signed: Signed, tx: Transaction) -> Any:
        def meddle() -> None:
            try:
                tx.execute("DELETE FROM orders")
            except Exception as error:  # noqa: BLE001  looked at below
                caught.append(error)

        helper = Thread(target=meddle)
        helper.start()
        helper.join()
        return write_order(signed, tx)

    shop = make_shop(handler=starts_a_thread)
    shop.order()
    assert "belongs to the thread of its handler" in str(caught[0])
    assert shop.orders == ["17"]
