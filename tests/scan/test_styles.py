from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.history import History, Operation
from tocsin.scan._styles import SMALL, Rotation, answer_gap_us
from tocsin.wire import Style

_STYLES: list[Style] = ["last-byte", "threads", "whole"]


def _history(*intervals: tuple[int, int | None], status: int = 200) -> History:
    return History(tuple(Operation("a", called, returned, status) for called, returned in intervals))


def _rotated(rotation: Rotation, bursts: int, shows: dict[Style, int], size: int = 20) -> Counter[Style]:
    counts: Counter[Style] = Counter()
    for _ in range(bursts):
        style = rotation.next(size)
        counts[style] += 1
        rotation.delivered(style, size, shows.get(style, 900))
    return counts


# What overlap looks like from outside


def test_the_closer_the_answers_the_more_overlap_there_was() -> None:
    one_after_the_other = _history((0, 100), (0, 200), (0, 300), (0, 400))
    through_each_other = _history((0, 390), (0, 395), (0, 399), (0, 400))
    assert answer_gap_us(one_after_the_other, {"200"}) == 100
    assert answer_gap_us(through_each_other, {"200"}) == 3


@pytest.mark.parametrize("history", [_history(), _history((0, 5)), _history((0, 5), (0, None))])
def test_it_takes_two_answers_to_overlap(history: History) -> None:
    assert answer_gap_us(history, {"200"}) is None


def test_an_answer_that_no_lone_request_gets_says_it_outright() -> None:
    one_after_the_other = ((0, 100), (0, 200))
    assert answer_gap_us(_history(*one_after_the_other, status=409), {"200"}) == 0
    assert answer_gap_us(_history(*one_after_the_other, status=409), {"200", "409"}) == 100


# What is made of it


def test_without_any_knowledge_the_usual_style_comes_first() -> None:
    assert Rotation(list(_STYLES)).next(20) == "last-byte"


@given(
    shows=st.fixed_dictionaries({style: st.none() | st.integers(0, 10**6) for style in _STYLES}),
    bursts=st.integers(1, 200),
)
def test_no_more_than_half_of_the_bursts_go_into_learning(shows: dict[Style, int | None], bursts: int) -> None:
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
    shows: dict[Style, int] = {"whole": 500}
    counts = _rotated(Rotation(list(_STYLES)), 150, shows | {best: 100})
    assert counts[best] > 150 * 0.8
    assert min(counts[style] for style in _STYLES) >= 6


def test_once_an_experiment_hits_what_hits_most_counts_more_than_how_close_answers_are() -> None:
    rotation = Rotation(list(_STYLES))
    shown: list[tuple[Style, int, int]] = [("last-byte", 400, 3), ("threads", 50, 1), ("whole", 500, 0)]
    for style, gap_us, hits in shown:
        for number in range(4):
            rotation.delivered(style, 2, gap_us, hit=number < hits)
    assert rotation.best(small=True) == "last-byte"


def test_what_hits_nearly_as_often_is_looked_at_until_it_is_known_and_what_hardly_hits_is_not() -> None:
    rotation = Rotation(list(_STYLES))
    every: dict[Style, int] = {"last-byte": 30, "threads": 8, "whole": 2}  # one in so many does not hit
    counts: Counter[Style] = Counter()
    for _ in range(400):
        style = rotation.next(2)
        counts[style] += 1
        rotation.delivered(style, 2, 100, hit=counts[style] % every[style] != 0)
    assert counts["last-byte"] > counts["threads"] > counts["whole"]
    assert counts["last-byte"] > 400 * 0.6
    assert rotation.best(small=True) in {"last-byte", "threads"}


def test_while_nothing_has_hit_the_answers_alone_tell_styles_apart() -> None:
    rotation = Rotation(list(_STYLES))
    shown: list[tuple[Style, int, int]] = [("last-byte", 400, 1), ("threads", 50, 9), ("whole", 500, 2)]
    for style, gap_us, looks in shown:
        for _ in range(looks):
            rotation.delivered(style, 20, gap_us, hit=False)
    assert rotation.best(small=False) == "threads"


def test_small_and_large_bursts_are_learned_apart() -> None:
    rotation = Rotation(list(_STYLES))
    _rotated(rotation, 60, {"threads": 1}, size=SMALL)
    _rotated(rotation, 60, {"whole": 1}, size=SMALL + 1)
    assert (rotation.best(small=True), rotation.best(small=False)) == ("threads", "whole")


def test_a_style_that_is_never_delivered_is_set_aside_and_told() -> None:
    rotation = Rotation(list(_STYLES))
    rotation.undelivered("threads", "was answered early")
    assert rotation.styles == _STYLES
    rotation.undelivered("threads", "was answered early")
    assert rotation.styles == ["last-byte", "whole"]
    assert rotation.facts()["set_aside"] == {"threads": "was answered early"}
    assert rotation.alone == ""


def test_a_style_that_was_set_aside_while_its_next_burst_was_under_way_stays_so() -> None:
    rotation = Rotation(list(_STYLES))
    for _ in range(3):
        rotation.undelivered("threads", "was answered early")
    assert rotation.styles == ["last-byte", "whole"]


def test_a_style_that_has_been_delivered_stays_whatever_happens_later() -> None:
    rotation = Rotation(list(_STYLES))
    rotation.delivered("threads", 2, None)
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
    rotation.delivered("whole", 20, 500)
    rotation.delivered("whole", 20, 700)
    rotation.delivered("threads", 20, None)
    assert rotation.facts() == {
        "preferred": {"up to 6 members": "last-byte", "more": "whole"},
        "answers_apart_us": {"whole, more": {"median": 600, "bursts": 2}},
    }
