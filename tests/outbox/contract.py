"""What an outbox promises, as functions: the tests run them on every database, the twins must fail one of them."""

import threading
from collections.abc import Callable
from contextlib import suppress

from tests.outbox.conftest import Place
from tocsin.outbox import OutboxUnavailable, State, Taken

NOW = 1_790_000_000.0
LEASE_S = 60.0


class BrokeError(Exception):
    """What a handler raises."""


def put(place: Place, *destinations: str) -> list[str]:
    """A message for each, committed."""
    with place.begun() as tx:
        return [place.outbox.put(tx, destination, {"n": n}) for n, destination in enumerate(destinations)]


def take(place: Place, destination: str = "partner", *, now_s: float | None = None) -> Taken | None:
    """What a runner gets that looks at that time; by default long after everything was put."""
    with place.outbox.connected() as session:
        return session.take(destination, now_s=NOW * 2 if now_s is None else now_s, lease_s=LEASE_S)


def a_message_of_a_transaction_that_is_rolled_back_is_never_sent(place: Place) -> None:
    with suppress(BrokeError), place.begun() as tx:
        place.outbox.put(tx, "partner", {"n": 1})
        raise BrokeError
    assert take(place) is None


def a_message_is_for_nobody_before_its_commit(place: Place) -> None:
    with place.begun() as tx:
        place.outbox.put(tx, "partner", {"n": 1})
        assert take(place) is None
    assert take(place) is not None


def one_message_is_taken_by_one_of_many(place: Place) -> None:
    put(place, *["partner"] * 8)
    taken: list[str] = []
    at_once = threading.Barrier(8)

    def run() -> None:
        with place.outbox.connected() as session:
            at_once.wait(60)
            for _ in range(8):
                try:
                    found = session.take("partner", now_s=NOW * 2, lease_s=LEASE_S)
                except OutboxUnavailable:  # the file was locked for too long by the others
                    continue
                if found is not None:
                    taken.append(found.id)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 8


def a_lease_that_ends_gives_the_message_to_the_next_one(place: Place) -> None:
    (message_id,) = put(place, "partner")
    first = take(place)
    assert first is not None
    assert (first.id, first.attempt) == (message_id, 1)
    assert take(place, now_s=NOW * 2 + LEASE_S - 1) is None
    second = take(place, now_s=NOW * 2 + LEASE_S)
    assert second is not None
    assert (second.id, second.attempt) == (message_id, 2)


def a_taking_that_nobody_settles_counts_as_a_failure(place: Place) -> None:
    """Or a message that kills its runners would be sent for ever."""
    put(place, "partner")
    failures = []
    for number in range(4):
        taken = take(place, now_s=NOW * 2 + number * LEASE_S)
        assert taken is not None
        failures.append(taken.failures)
        if number == 1:
            with place.outbox.connected() as session:
                assert session.failed(taken, now_s=NOW, wait_s=0, error="answered 500")
    assert failures == [0, 1, 2, 3]


def whoever_lost_the_lease_settles_nothing(place: Place) -> None:
    put(place, "partner")
    first, second = take(place), take(place, now_s=NOW * 2 + LEASE_S)
    assert first is not None
    assert second is not None
    with place.outbox.connected() as session:
        assert not session.failed(first, now_s=NOW, wait_s=None, error="late")
        assert not session.delivered(first, now_s=NOW)
        assert [kept.state for kept in session.list()] == [State.WAITING]
        assert session.delivered(second, now_s=NOW)
        assert not session.failed(second, now_s=NOW, wait_s=1, error="twice")
        assert [kept.state for kept in session.list()] == [State.DELIVERED]


CONTRACT: tuple[Callable[[Place], None], ...] = (
    a_message_of_a_transaction_that_is_rolled_back_is_never_sent,
    a_message_is_for_nobody_before_its_commit,
    one_message_is_taken_by_one_of_many,
    a_lease_that_ends_gives_the_message_to_the_next_one,
    a_taking_that_nobody_settles_counts_as_a_failure,
    whoever_lost_the_lease_settles_nothing,
)
