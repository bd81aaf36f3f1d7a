from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.history import History, Operation
from tocsin.scan._styles import SMALL, Rotation, overlap
from tocsin.wire import Style

_STYLES: list[Style] = ["last-byte", "threads", "whole"]


def _history(*intervals: tuple[int, int | None], status: int = 200) -> History:
    return History(tuple(Operation("a", called, returned, status) for called, returned in intervals))


def _rotated(rotation: Rotation, bursts: int, shows: dict[Style, float], size: int = 20) -> Counter[Style]:
    counts: Counter[Style] = Counter()
    for _ in range(bursts):
        style = rotation.next(size)
        counts[style] += 1
        rotation.delivered(style, size, shows.get(style, 0.0))
    return counts


# What overlap looks like from outside


def test_one_after_the_other_is_none() -> None:
    assert overlap(_history((0, 100), (0, 200), (0, 300), (0, 400)), {"200"}) == 0.0


def test_all_at_the_end_together_is_all_of_it() -> None:
    assert overlap(_history((0, 400), (0, 400), (0, 400), (0, 400)), {"200"}) == 1.0


def test_in_between_is_in_between() -> None:
    assert overlap(_history((0, 300), (0, 400)), {"200"}) == pytest.approx(0.5)


def test_an_answer_before_the_last_request_has_left_is_no_overlap() -> None:
    assert overlap(_history((0, 90), (100, 200)), {"200"}) == 0.0
    assert overlap(_history((0, 100), (100, 200)), {"200"}) == 0.0


@pytest.mark.parametrize("history", [_history(), _history((0, 5)), _history((0, 5), (0, None))])
def test_it_takes_two_answers_to_overlap(history: History) -> None:
    assert overlap(history, {"200"}) == 0.0


def test_an_answer_that_no_lone_request_gets_says_it_outright() -> None:
    one_after_the_other = ((0, 100), (0, 200))
    assert overlap(_history(*one_after_the_other, status=409), {"200"}) == 1.0
    assert overlap(_history(*one_after_the_other, status=409), {"200", "409"}) == 0.0


@given(
    intervals=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6) | st.none()), max_size=8),
)
def test_overlap_is_a_share_whatever_came_back(intervals: list[tuple[int, int | None]]) -> None:
    history = _history(*((called, None if took is None else called + took) for called, took in intervals))
    assert 0.0 <= overlap(history, {"200"}) <= 1.0


# What is made of it


def test_without_any_knowledge_the_usual_style_comes_first() -> None:
    assert Rotation(list(_STYLES)).next(20) == "last-byte"


@given(shows=st.fixed_dictionaries({style: st.floats(0, 1) for style in _STYLES}), bursts=st.integers(1, 200))
def test_no_more_than_half_of_the_bursts_go_into_learning(shows: dict[Style, float], bursts: int) -> None:
    rotation = Rotation(list(_STYLES))
    learning = 0
    for _ in range(bursts):
        best = rotation.best(small=False)
        style = rotation.next(20)
        learning += style != best
        rotation.delivered(style, 20, shows[style])
    assert learning * 2 <= bursts


@pytest.mark.parametrize("best", _STYLES)
def test_the_style_that_overlaps_most_gets_most_bursts_and_the_others_stay(best: Style) -> None:
    counts = _rotated(Rotation(list(_STYLES)), 150, {best: 0.9, "whole": 0.3} | {best: 0.9})
    assert counts[best] > 150 * 0.7
    assert min(counts[style] for style in _STYLES) >= 8


def test_small_and_large_bursts_are_learned_apart() -> None:
    rotation = Rotation(list(_STYLES))
    _rotated(rotation, 60, {"threads": 1.0}, size=SMALL)
    _rotated(rotation, 60, {"whole": 1.0}, size=SMALL + 1)
    assert (rotation.best(small=True), rotation.best(small=False)) == ("threads", "whole")


def test_a_style_that_is_never_delivered_is_set_aside_and_told() -> None:
    rotation = Rotation(list(_STYLES))
    rotation.undelivered("threads", "was answered early")
    assert rotation.styles == _STYLES
    rotation.undelivered("threads", "was answered early")
    assert rotation.styles == ["last-byte", "whole"]
    assert rotation.facts()["set_aside"] == {"threads": "was answered early"}
    assert rotation.alone == ""


def test_a_style_that_has_been_delivered_stays_whatever_happens_later() -> None:
    rotation = Rotation(list(_STYLES))
    rotation.delivered("threads", 2, 0.5)
    for _ in range(5):
        rotation.undelivered("threads", "was cut off")
    assert "threads" in rotation.styles


def test_the_last_style_is_kept_and_not_trusted_alone() -> None:
    rotation = Rotation(["last-byte", "whole"])
    for style in ("last-byte", "last-byte", "whole", "whole", "whole"):
        rotation.undelivered(style, "was answered early")
    assert rotation.styles == ["whole"]
    assert rotation.alone == (
        "only the style whole can be delivered, and none is trusted alone (last-byte: was answered early)"
    )
    assert Rotation(["whole"]).alone == ""


def test_a_style_that_needs_a_canary_waits_for_it() -> None:
    rotation = Rotation.of(("last-frame", "empty-end", "whole"))
    assert (rotation.styles, rotation.unasked) == (["last-frame", "whole"], ["empty-end"])
    rotation.asked("empty-end", "")
    assert (rotation.styles, rotation.unasked) == (["last-frame", "whole", "empty-end"], [])


def test_a_canary_that_was_answered_keeps_its_style_out() -> None:
    rotation = Rotation.of(("last-frame", "empty-end", "whole"))
    rotation.asked("empty-end", "was answered 200 before the gate opened")
    assert rotation.styles == ["last-frame", "whole"]
    assert rotation.set_aside == {"empty-end": "was answered 200 before the gate opened"}


def test_what_was_learned_is_told() -> None:
    rotation = Rotation(list(_STYLES))
    rotation.delivered("whole", 20, 0.5)
    rotation.delivered("whole", 20, 1.0)
    assert rotation.facts() == {
        "preferred": {"up to 6 members": "last-byte", "more": "whole"},
        "estimated_overlap": {"whole, more": {"mean": 0.75, "bursts": 2}},
    }
