import pytest

from tocsin.history import History, Operation


def history(*operations: tuple[int, int | None, int | None]) -> History:
    return History(tuple(Operation("POST /", called, returned, status) for called, returned, status in operations))


def test_a_history_is_its_operations_in_order() -> None:
    both = history((0, 5, 201), (1, None, None))
    assert len(both) == 2
    assert tuple(both) == both.operations


def test_statuses_are_counted_and_no_answer_is_one_of_them() -> None:
    assert history((0, 5, 409), (0, 6, 201), (0, 7, 409), (0, None, None)).statuses() == {"201": 1, "409": 2, "none": 1}


@pytest.mark.parametrize(
    ("operations", "most"),
    [
        ([], 0),
        ([(0, 5, 200)], 1),
        ([(0, 5, 200), (6, 9, 200)], 1),
        # The interval is closed: a call at the moment of a return overlaps it.
        ([(0, 5, 200), (5, 9, 200)], 2),
        ([(0, 9, 200), (1, 2, 200), (3, 4, 200)], 2),
        # Without an answer an operation stays open for ever.
        ([(0, None, None), (100, 101, 200), (200, 201, 200)], 2),
    ],
)
def test_the_most_operations_in_flight(operations: list[tuple[int, int | None, int | None]], most: int) -> None:
    assert history(*operations).most_in_flight() == most
