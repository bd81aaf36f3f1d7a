import asyncio
from collections.abc import Awaitable
from threading import Thread

import pytest

from tocsin.guard._sleepers import SleepingThread
from tocsin.guard._turn import Turn

LONG_S = 30.0


def queued(turn: Turn, count: int) -> None:
    """Spin until so many threads wait for the turn."""
    while len(turn._queue) != count:
        pass


def test_one_has_the_turn_and_the_next_gets_it_when_it_is_passed_on() -> None:
    turn = Turn()
    assert turn.take(0)
    assert not turn.take(0.01)
    turn.pass_on()
    assert turn.take(0)


def test_the_turn_goes_round_in_the_order_of_arrival() -> None:
    """A released lock would go to whoever runs at that moment."""
    turn, order = Turn(), []
    turn.take(0)

    def write(number: int) -> None:
        assert turn.take(LONG_S)
        order.append(number)
        turn.pass_on()

    threads = []
    for number in range(8):
        threads.append(Thread(target=write, args=(number,)))
        threads[-1].start()
        queued(turn, number + 1)
    turn.pass_on()
    for thread in threads:
        thread.join()
    assert order == list(range(8))
    assert turn.take(0)


def test_whoever_gives_up_leaves_the_queue() -> None:
    turn = Turn()
    turn.take(0)
    assert not turn.take(0.01)
    queued(turn, 0)
    turn.pass_on()
    assert turn.take(0)


class Meddling(SleepingThread):
    """A thread that sleeps until somebody passes the turn on, and is then told nothing, or interrupted."""

    def __init__(self, turn: Turn, *, interrupted: bool) -> None:
        super().__init__()
        self.turn = turn
        self.interrupted = interrupted

    def sleep(self, _timeout_s: float) -> bool:
        self.turn.pass_on()
        if self.interrupted:
            raise KeyboardInterrupt
        return False


def test_a_turn_that_is_handed_over_while_its_waiter_gives_up_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out and the hand-over meet: the waiter has the turn, and says so."""
    turn = Turn()
    turn.take(0)
    monkeypatch.setattr("tocsin.guard._turn.SleepingThread", lambda: Meddling(turn, interrupted=False))
    assert turn.take(LONG_S)
    turn.pass_on()
    assert turn.take(0)


def test_an_interrupted_waiter_does_not_take_the_turn_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Turn()
    turn.take(0)
    monkeypatch.setattr("tocsin.guard._turn.SleepingThread", lambda: Meddling(turn, interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        turn.take(LONG_S)
    assert turn.take(0)


def test_whoever_asks_for_more_than_a_turn_is_told_of_one_that_came_back_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    back: list[str] = []
    turn = Turn(given_back=lambda: back.append("given back"))
    turn.take(0)
    monkeypatch.setattr("tocsin.guard._turn.SleepingThread", lambda: Meddling(turn, interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        turn.take(LONG_S)
    assert back == ["given back"]
    assert not turn.try_take()


def test_a_turn_is_handed_over_only_to_somebody_who_waits() -> None:
    turn = Turn()
    assert turn.try_take()
    assert not turn.hand_over()
    waiting = Thread(target=turn.take, args=(LONG_S,))
    waiting.start()
    queued(turn, 1)
    assert turn.waiting == 1
    assert turn.hand_over()
    waiting.join()
    assert not turn.try_take()


def test_what_is_to_be_begun_stands_in_line_like_a_thread() -> None:
    turn, begun = Turn(), list[str]()
    turn.take_for(lambda: begun.append("at once"))
    assert begun == ["at once"]
    turn.take_for(lambda: begun.append("second"))
    turn.take_for(lambda: begun.append("third"))
    assert not turn.try_take()
    turn.pass_on()
    assert begun == ["at once", "second"]
    assert turn.hand_over()
    assert begun == ["at once", "second", "third"]
    assert not turn.hand_over()


def test_with_several_places_so_many_have_a_turn_at_once() -> None:
    turn = Turn(2)
    assert turn.take(0)
    assert turn.take(0)
    assert not turn.take(0)
    turn.pass_on()
    assert turn.take(0)


def test_tasks_and_threads_stand_in_one_queue() -> None:
    turn, order = Turn(), list[str]()
    turn.take(0)

    def thread(name: str) -> None:
        assert turn.take(LONG_S)
        order.append(name)
        turn.pass_on()

    async def task(name: str) -> None:
        assert await turn.take_async(LONG_S)
        order.append(name)
        turn.pass_on()

    async def main() -> None:
        waiting: list[Awaitable[None]] = []
        for number in range(6):
            started = asyncio.to_thread(thread, f"{number}") if number % 2 else task(f"{number}")
            waiting.append(asyncio.create_task(started))
            while len(turn._queue) != number + 1:  # noqa: ASYNC110  what it waits for tells nobody
                await asyncio.sleep(0)
        assert not await turn.take_async(0)
        turn.pass_on()
        await asyncio.gather(*waiting)
        assert order == [*"012345"]
        assert await turn.take_async(0)

    asyncio.run(main())


def test_a_forked_child_finds_the_turn_free() -> None:
    turn = Turn()
    turn.take(0)
    turn._guard.acquire()
    turn.renew_after_fork()
    assert turn.take(0)
