import asyncio
from collections.abc import Callable
from threading import Barrier, Thread

import pytest

from tocsin.guard._steps import Running, Waited
from tocsin.guard._waiting import MET_AT_LEAST, MOST_WAITERS, InFlight

KEY = b"key"
LONG_S = 30.0


def in_threads(count: int, task: Callable[[], None]) -> list[Thread]:
    threads = [Thread(target=task) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def has_waiters(in_flight: InFlight, count: int) -> bool:
    return in_flight._entries[KEY].waiters == count


def wait_for(condition: Callable[[], bool]) -> None:
    """Spin until the other threads have got there; ordering by state, not by time."""
    while not condition():
        pass


def test_one_goes_ahead_and_the_others_learn_its_fingerprint() -> None:
    in_flight = InFlight()
    assert in_flight.join(KEY, b"R1") is None
    assert in_flight.join(KEY, b"R2") == Running(b"R1")
    assert in_flight.join(b"other", None) is None


def test_of_many_threads_exactly_one_goes_ahead() -> None:
    in_flight, start, ahead = InFlight(), Barrier(16), []

    def join() -> None:
        start.wait()
        if in_flight.join(KEY, None) is None:
            ahead.append(1)

    for thread in in_threads(16, join):
        thread.join()
    assert ahead == [1]


def test_the_keys_that_were_met_last_are_known_and_the_others_forgotten() -> None:
    in_flight = InFlight()
    keys = [b"%d" % number for number in range(3 * MET_AT_LEAST)]
    assert not in_flight.has_met(keys[0])
    for key in keys:
        in_flight.join(key, None)
        in_flight.leave(key)
    assert all(map(in_flight.has_met, keys[-MET_AT_LEAST:]))
    assert sum(map(in_flight.has_met, keys)) <= 2 * MET_AT_LEAST


def test_everybody_who_waits_is_woken() -> None:
    in_flight = InFlight()
    in_flight.join(KEY, None)
    woken: list[Waited] = []
    threads = in_threads(8, lambda: woken.append(in_flight.wait(KEY, LONG_S)))
    wait_for(lambda: has_waiters(in_flight, 8))
    in_flight.leave(KEY)
    for thread in threads:
        thread.join()
    assert woken == [Waited.OVER] * 8
    assert in_flight.join(KEY, None) is None


def test_waiting_for_nobody_is_over() -> None:
    """Whoever was waited for has left in between."""
    assert InFlight().wait(KEY, LONG_S) is Waited.OVER


def test_a_wait_ends_in_bounded_time() -> None:
    in_flight = InFlight()
    in_flight.join(KEY, None)
    assert in_flight.wait(KEY, 0.01) is Waited.TIMED_OUT
    assert has_waiters(in_flight, 0)


def test_at_most_64_wait_for_a_key_and_the_next_is_turned_away_at_once() -> None:
    assert MOST_WAITERS == 64
    in_flight = InFlight()
    in_flight.join(KEY, None)
    woken: list[Waited] = []
    threads = in_threads(MOST_WAITERS, lambda: woken.append(in_flight.wait(KEY, LONG_S)))
    wait_for(lambda: has_waiters(in_flight, MOST_WAITERS))
    assert in_flight.wait(KEY, LONG_S) is Waited.CROWDED
    in_flight.leave(KEY)
    for thread in threads:
        thread.join()
    assert woken == [Waited.OVER] * MOST_WAITERS


def test_a_forked_child_waits_for_nobody_of_its_parent() -> None:
    in_flight = InFlight()
    in_flight.join(KEY, None)
    in_flight._lock.acquire()
    in_flight.renew_after_fork()
    assert in_flight.join(KEY, None) is None
    in_flight.leave(KEY)
    in_flight.leave(KEY)


def test_threads_and_tasks_wait_for_each_other() -> None:
    """One service has handlers of both kinds under one guard."""
    in_flight = InFlight()
    in_flight.join(KEY, None)
    woken: list[Waited] = []

    async def waits() -> Waited:
        return await in_flight.wait_async(KEY, LONG_S, asyncio.get_running_loop().create_future())

    threads = in_threads(4, lambda: woken.append(in_flight.wait(KEY, LONG_S)))
    threads += in_threads(4, lambda: woken.append(asyncio.run(waits())))
    wait_for(lambda: has_waiters(in_flight, 8))
    in_flight.leave(KEY)
    for thread in threads:
        thread.join()
    assert woken == [Waited.OVER] * 8


def test_a_task_stops_waiting_when_its_time_is_over_when_nobody_wants_to_know_or_when_it_is_cancelled() -> None:
    in_flight = InFlight()
    in_flight.join(KEY, None)

    async def go() -> None:
        gone: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        assert await in_flight.wait_async(b"other", LONG_S, gone) is Waited.OVER
        assert await in_flight.wait_async(KEY, 0.01, gone) is Waited.TIMED_OUT
        waiting = asyncio.ensure_future(in_flight.wait_async(KEY, LONG_S, gone))
        await asyncio.sleep(0)
        assert has_waiters(in_flight, 1)
        gone.set_result(None)
        assert await waiting is Waited.TIMED_OUT
        waiting = asyncio.ensure_future(in_flight.wait_async(KEY, LONG_S, asyncio.get_running_loop().create_future()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert has_waiters(in_flight, 0)

    asyncio.run(go())


def test_a_task_whose_loop_was_closed_is_waited_for_by_nobody() -> None:
    in_flight = InFlight()
    in_flight.join(KEY, None)
    loop = asyncio.new_event_loop()
    loop.close()
    in_flight._begin_to_wait(KEY, lambda: loop.call_soon_threadsafe(print))
    in_flight.leave(KEY)
    assert in_flight.join(KEY, None) is None
