import dataclasses
from typing import get_args

import pytest

from tocsin.events import Event, FindingMade, RunEnded


@pytest.mark.parametrize("event", get_args(Event))
def test_an_event_cannot_change_once_it_was_told(event: type) -> None:
    """A terminal redraws from another thread, and a report may be written long after."""
    assert dataclasses.is_dataclass(event)
    assert event.__dataclass_params__.frozen  # type: ignore[attr-defined]  # what @dataclass leaves on the class


def test_a_run_that_ended_as_planned_says_nothing_about_it() -> None:
    ended = RunEnded(elapsed_s=1.0, requests=2, effects=1)
    assert (ended.interrupted, ended.left_behind) == ("", "")


def test_what_a_check_concluded_is_the_finding_itself() -> None:
    assert [field.name for field in dataclasses.fields(FindingMade)] == ["finding"]
