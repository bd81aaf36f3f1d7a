from threading import Thread

import pytest

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


class Meddling:
    """A lock whose second acquire happens while somebody passes the turn on."""

    def __init__(self, turn: Turn, *, interrupted: bool) -> None:
        self.turn = turn
        self.interrupted = interrupted
        self.is_first = True

    def acquire(self, **_: float) -> bool:
        if self.is_first:
            self.is_first = False
            return True
        self.turn.pass_on()
        if self.interrupted:
            raise KeyboardInterrupt
        return False

    def release(self) -> None:
        """Handed over, too late to be noticed."""


def test_a_turn_that_is_handed_over_while_its_waiter_gives_up_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out and the hand-over meet: the waiter has the turn, and says so."""
    turn = Turn()
    turn.take(0)
    monkeypatch.setattr("tocsin.guard._turn.Lock", lambda: Meddling(turn, interrupted=False))
    assert turn.take(LONG_S)
    turn.pass_on()
    assert turn.take(0)


def test_an_interrupted_waiter_does_not_take_the_turn_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Turn()
    turn.take(0)
    monkeypatch.setattr("tocsin.guard._turn.Lock", lambda: Meddling(turn, interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        turn.take(LONG_S)
    assert turn.take(0)


def test_a_forked_child_finds_the_turn_free() -> None:
    turn = Turn()
    turn.take(0)
    turn._guard.acquire()
    turn.renew_after_fork()
    assert turn.take(0)
