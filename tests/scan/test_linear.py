"""Histories that fit a sequential model, and that do not."""

from collections.abc import Mapping

import pytest

from tocsin.history import History, Operation
from tocsin.scan._linear import Call, counter_with_floor, is_linearizable, once_only, register


def is_success(status: int | None) -> bool:
    return status == 200


def history(*operations: tuple[str, int, int | None, int | None]) -> History:
    return History(tuple(Operation(*operation) for operation in operations))


def at_once(count: int, status: int | None = 200) -> History:
    return history(*((f"m{place}", 0, 100, status) for place in range(count)))


@pytest.mark.parametrize(("effects", "fits"), [(0, False), (1, True), (2, False), (20, False)])
def test_copies_of_one_message_that_were_accepted_have_one_effect(effects: int, *, fits: bool) -> None:
    assert is_linearizable(once_only(at_once(20), is_success, settle_us=0), 0, effects) is fits


def test_a_copy_that_was_refused_or_not_answered_has_none_or_perhaps_one() -> None:
    refused = once_only(at_once(3, 409), is_success, settle_us=0)
    assert is_linearizable(refused, 0, 0)
    assert not is_linearizable(refused, 0, 1)
    silent = once_only(history(("m", 0, None, None)), is_success, settle_us=0)
    assert is_linearizable(silent, 0, 0)
    assert is_linearizable(silent, 0, 1)


@pytest.mark.parametrize(
    ("statuses", "effects", "fits"),
    [
        ((200, 200, 409), 2, True),
        ((200, 200, 200), 2, False),  # three accepted, two took effect: one was lost, or is too many
        ((200, 200, 200), 3, False),  # more than there was
        ((409, 409, 409), 0, True),  # refused for whatever reason
    ],
)
def test_distinct_messages_take_effect_as_often_as_they_are_accepted_and_no_more_than_there_is(
    statuses: tuple[int, ...], effects: int, *, fits: bool
) -> None:
    of = history(*((f"m{place}", 0, 50, status) for place, status in enumerate(statuses)))
    calls = counter_with_floor(of, is_success, settle_us=0, capacity=2)
    assert is_linearizable(calls, 0, effects) is fits


NUMBERS: Mapping[str, int] = {"one": 1, "two": 2, "three": 3}


@pytest.mark.parametrize(("applied", "fits"), [(3, True), (2, False), (1, False)])
def test_of_numbered_messages_the_newest_that_was_accepted_is_the_one_that_stands(applied: int, *, fits: bool) -> None:
    of = history(("three", 0, 10, 200), ("one", 0, 10, 200), ("two", 0, 10, 200))
    assert is_linearizable(register(of, is_success, settle_us=0, numbers=NUMBERS), 0, applied) is fits


def test_a_newer_message_that_was_refused_leaves_the_older_one() -> None:
    of = history(("three", 0, 10, 409), ("one", 0, 10, 200))
    assert is_linearizable(register(of, is_success, settle_us=0, numbers=NUMBERS), 0, 1)


def last_wins(*intervals: tuple[int, int, int]) -> list[Call[int]]:
    """Plain writes of a value: (value, called, until)."""

    def written(value: int) -> Call[int]:
        found = next(each for each in intervals if each[0] == value)
        return Call(value, lambda _: [value], found[1], found[2])

    return [written(value) for value, _, _ in intervals]


def test_what_was_over_before_another_began_comes_before_it_and_what_overlaps_in_any_order() -> None:
    one_after_the_other = last_wins((1, 0, 10), (2, 20, 30))
    assert is_linearizable(one_after_the_other, 0, 2)
    assert not is_linearizable(one_after_the_other, 0, 1)
    overlapping = last_wins((1, 0, 25), (2, 20, 30))
    assert is_linearizable(overlapping, 0, 1)
    assert is_linearizable(overlapping, 0, 2)


def test_an_effect_may_come_as_much_later_as_effects_may_take() -> None:
    of = history(("one", 0, 10, 200))
    [soon] = once_only(of, is_success, settle_us=0)
    [late] = once_only(of, is_success, settle_us=40_000)
    assert (soon.until_us, late.until_us) == (10, 40_010)


def test_nothing_leads_nowhere_else() -> None:
    assert is_linearizable([], 0, 0)
    assert not is_linearizable([], 0, 1)


def test_twenty_equal_calls_are_tried_in_one_order_and_not_in_all() -> None:
    asked = 0

    def counted(state: int) -> list[int]:
        nonlocal asked
        asked += 1
        return [state + 1]

    assert not is_linearizable([Call("same", counted, 0, 100) for _ in range(20)], 0, 7)
    assert asked == 20
