import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.history import History, Operation
from tocsin.report.layout import milliseconds, nice_step_us, timeline


def history(*operations: tuple[int, int | None, int | None]) -> History:
    return History(tuple(Operation("POST /", called, returned, status) for called, returned, status in operations))


@pytest.mark.parametrize(
    ("span_us", "step_us"),
    [
        (1, 1),
        (5, 1),
        (6, 2),
        (10, 2),
        (11, 5),
        (25, 5),
        (26, 10),
        (1_000, 200),
        (9_328, 2_000),
        (10_000_000, 2_000_000),
    ],
)
def test_the_step_is_the_smallest_nice_number_that_leaves_five_intervals(span_us: int, step_us: int) -> None:
    assert nice_step_us(span_us) == step_us


@pytest.mark.parametrize(
    ("moment_us", "text"),
    [(0, "0"), (1, "0.001"), (250, "0.25"), (12_500, "12.5"), (10_000_000, "10000"), (-50, "-0.05")],
)
def test_milliseconds_are_exact_and_short(moment_us: int, text: str) -> None:
    assert milliseconds(moment_us) == text


def test_a_bar_runs_from_call_to_return() -> None:
    drawn = timeline(history((0, 5_000, 201), (2_500, 10_000, 409)))
    assert [tick.text for tick in drawn.ticks] == ["0", "2", "4", "6", "8", "10"]
    assert [tick.at_percent for tick in drawn.ticks] == [0, 20, 40, 60, 80, 100]
    assert [(bar.start_percent, bar.width_percent, bar.end_percent) for bar in drawn.bars] == [
        (0, 50, 50),
        (25, 75, 100),
    ]
    assert [(bar.called_ms, bar.returned_ms) for bar in drawn.bars] == [("0.000", "5.000"), ("2.500", "10.000")]


def test_the_axis_ends_at_the_tick_after_the_last_answer() -> None:
    assert timeline(history((0, 9_328, 200))).ticks[-1].text == "10"


def test_an_operation_without_an_answer_lasts_as_long_as_the_axis() -> None:
    drawn = timeline(history((0, 4_000, 200), (1_000, None, None)))
    assert (drawn.bars[1].outcome, drawn.bars[1].status, drawn.bars[1].end_percent) == ("none", "none", 100)
    assert drawn.bars[1].returned_ms == ""


def test_a_status_decides_the_outcome() -> None:
    drawn = timeline(history((0, 1, 199), (0, 1, 200), (0, 1, 299), (0, 1, 300), (0, None, None)))
    assert [bar.outcome for bar in drawn.bars] == ["other", "success", "success", "other", "none"]


def test_rows_follow_the_order_of_release_and_get_lower_when_there_are_many() -> None:
    few, many = timeline(history(*[(0, 1, 200)] * 30)), timeline(history(*[(0, 1, 200)] * 100))
    assert (few.dense, many.dense) == (False, True)
    assert many.row_px < few.row_px
    assert [bar.number for bar in many.bars] == list(range(1, 101))
    assert many.bars[-1].top_px + many.row_px == many.height_px


def test_a_call_before_the_gate_moves_the_gate_and_not_the_ticks() -> None:
    drawn = timeline(history((-30, 4_970, 200)))
    assert drawn.gate_percent == pytest.approx(0.6, abs=0.01)
    assert drawn.ticks[0].text == "0"
    assert drawn.ticks[0].at_percent == drawn.gate_percent


@pytest.mark.parametrize("operations", [[], [(0, None, None)], [(0, 0, 200)]])
def test_a_burst_without_any_length_still_has_an_axis(operations: list[tuple[int, int | None, int | None]]) -> None:
    assert timeline(history(*operations)).ticks[-1].text == "1"


moments = st.integers(-1_000, 20_000_000)


@given(st.lists(st.tuples(moments, st.none() | moments, st.none() | st.integers(100, 599)), max_size=120))
def test_everything_stays_inside_the_plot(drawn_from: list[tuple[int, int | None, int | None]]) -> None:
    operations = [
        (called, None if wait is None else called + abs(wait), None if wait is None else status)
        for called, wait, status in drawn_from
    ]
    drawn = timeline(history(*operations))
    assert 2 <= len(drawn.ticks) <= 7
    assert all(0 <= tick.at_percent <= 100 for tick in drawn.ticks)
    assert 0 <= drawn.gate_percent <= 100
    for bar in drawn.bars:
        assert 0 <= bar.start_percent < bar.end_percent <= 100.001
        assert drawn.head_px <= bar.top_px <= drawn.height_px - drawn.row_px
