"""The part of the contract of a store that is about order: an older message is never applied over a newer one."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from random import sample
from threading import Barrier

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
from tocsin.guard._errors import StoreError, StoreUnavailable, TransactionConflict
from tocsin.guard._store import Claim, Granted, Position, Record, Store

_MOST_RUNS = 50


def _advanced(store: Store[Tx], wanted: Claim, wait_s: float = WAIT_S) -> tuple[Granted[Tx], bool]:
    """The granted claim, and whether it is newer than all that its stream has applied."""
    granted = granted_of(store, wanted, wait_s)
    try:
        return granted, granted.advance(wait_s)
    except StoreError:
        granted.abandon()
        raise


def _apply(subject: Subject[Tx], store: Store[Tx], wanted: Claim, applied: list[Claim] | None = None) -> bool:
    """What the flow does with a message that has a place in a stream: whether it was applied.

    Args:
        subject: under test.
        store: of it.
        wanted: the message's.
        applied: where it is entered while its stream is its own, which is until COMMIT.
    """
    entered: list[Claim] = [] if applied is None else applied
    for _ in range(_MOST_RUNS):
        try:
            granted, is_newer = _advanced(store, wanted)
            if is_newer:
                subject.write_effect(granted.tx)
                entered.append(wanted)
            granted.settle(ANSWER)
        except TransactionConflict:
            if wanted in entered:
                entered.remove(wanted)
        else:
            return is_newer
    raise AssertionError(f"it conflicted with others {_MOST_RUNS} times: {wanted}")


def a_message_is_applied_if_it_is_newer_than_all_before_it(subject: Subject[Tx]) -> None:
    """An older one is not, nor is another one with the same number; what is superseded is remembered as such."""
    with open_on(subject, 2) as (store, other):
        assert _apply(subject, store, claim("second", number=2))
        assert not _apply(subject, other, claim("first", number=1)), "an older message was applied over a newer one"
        assert not _apply(subject, other, claim("second again", number=2)), "equal numbers are no order"
        assert isinstance(store.take(claim("first", number=1), WAIT_S), Record), "what was superseded is forgotten"
        assert _apply(subject, other, claim("third", number=3))
        elsewhere = claim("first of another stream")
        elsewhere.position = Position(hashlib.sha256(b"stock of item 18").digest(), 1)
        assert _apply(subject, store, elsewhere), "the number of one stream is in another one's way"
    assert subject.effects() == 3  # noqa: PLR2004  the second, the third, and the other stream's first


def an_abandoned_message_leaves_no_number_behind(subject: Subject[Tx]) -> None:
    """A newer message that failed is not there, so it is in no older one's way."""
    with open_on(subject) as (store,):
        granted, is_newer = _advanced(store, claim("second", number=2))
        assert is_newer
        subject.write_effect(granted.tx)
        granted.abandon()
        assert _apply(subject, store, claim("first", number=1)), "the number of an abandoned message is still there"
        assert _apply(subject, store, claim("second", number=2))
    assert subject.effects() == 2  # noqa: PLR2004  both


def an_older_message_waits_for_a_newer_one_that_has_not_ended(subject: Subject[Tx]) -> None:
    """While nobody knows it is StoreUnavailable, in bounded time; then it is applied if the newer one was not."""
    with open_on(subject, 2) as (store, other), ThreadPoolExecutor() as pool:
        for number, is_kept in ((1, False), (3, True)):
            older, newer = claim(f"{number}", number=number), claim(f"{number + 1}", number=number + 1)
            granted, _ = _advanced(store, newer)
            subject.write_effect(granted.tx)
            try:
                early = pool.submit(_advanced, other, older, 0.05).exception()
                late = pool.submit(_apply, subject, other, older)
            finally:
                # Whoever waits for it has to be let go in any case.
                granted.settle(ANSWER) if is_kept else granted.abandon()
            assert isinstance(early, StoreUnavailable), f"it was decided on before the newer one had ended: {early!r}"
            assert late.result() is not is_kept, f"the newer one was {'kept' if is_kept else 'abandoned'}"
    assert subject.effects() == 2  # noqa: PLR2004  the older one of the first round, the newer one of the second


def of_many_messages_at_once_each_is_newer_than_the_one_before(subject: Subject[Tx]) -> None:
    """In the order in which they are committed; and the newest one is applied, whoever comes last."""
    start = Barrier(RACERS)
    applied: list[Claim] = []

    def race(store: Store[Tx], number: int) -> None:
        start.wait()
        _apply(subject, store, claim(f"message {number}", number=number), applied)

    with open_on(subject, RACERS) as stores, ThreadPoolExecutor(RACERS) as pool:
        racing = [pool.submit(race, *each) for each in zip(stores, sample(range(RACERS), RACERS), strict=True)]
        for racer in racing:
            racer.result()
        assert not _apply(subject, stores[0], claim("as new", number=RACERS - 1)), "the newest was not applied"
    numbers = [each.position.number for each in applied if each.position is not None]
    assert numbers == sorted(set(numbers)), f"committed in this order: {numbers}"
    assert numbers[-1] == RACERS - 1
    assert subject.effects() == len(numbers)


def sweeping_forgets_no_stream(subject: Subject[Tx]) -> None:
    """When a claim has had its time, its message is still not newer than itself."""
    with open_on(subject) as (store,):
        assert _apply(subject, store, claim("second", number=2, kept_ms=1000))
        store.sweep(NOW_UNIX_MS + 1000)
        assert store.look(claim("second").key) is None
        for name, number in (("second", 2), ("first", 1)):
            again = claim(name, number=number, taken_unix_ms=NOW_UNIX_MS + 1000)
            assert not _apply(subject, store, again), f"message {number} was applied after 2 was"
    assert subject.effects() == 1
