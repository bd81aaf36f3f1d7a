import io
from collections.abc import Callable

import pytest
from rich.console import Console

from tocsin.events import (
    BurstCollected,
    CheckStarted,
    Event,
    FindingMade,
    Progressed,
    RunEnded,
    RunStarted,
)
from tocsin.findings import Finding
from tocsin.history import History
from tocsin.report._progress import Progress, view

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]
Show = Callable[[Progress, float], list[str]]


@pytest.fixture
def show() -> Show:
    def shown(progress: Progress, now_s: float) -> list[str]:
        console = Console(file=io.StringIO(), width=80, color_system=None)
        console.print(view(progress, now_s))
        assert isinstance(console.file, io.StringIO)
        return [line.rstrip() for line in console.file.getvalue().splitlines()]

    return shown


def after(run: Run, *events: Event) -> Progress:
    progress = Progress(run[0], began_s=100.0)
    for event in events:
        progress = progress.after(event)
    return progress


def test_a_check_that_has_said_nothing_yet_is_named(run: Run, show: Show) -> None:
    shown = show(after(run, CheckStarted("over-allocation", "?")), 100.0)
    assert shown[0].startswith("over-allocation")
    assert shown[1] == "0 of 7 checks, 0 bursts, 0.0 s of at most 60 s"


def test_phase_trials_bursts_and_time_are_shown(run: Run, show: Show) -> None:
    shown = show(
        after(
            run,
            CheckStarted("over-allocation", "?"),
            Progressed("over-allocation", "distinct requests", 84, 1_150),
            BurstCollected("over-allocation", History(()), 1),
            BurstCollected("over-allocation", History(()), None, void="closed early"),
        ),
        123.44,
    )
    assert shown[0].endswith("84 of 1,150  distinct requests")
    assert shown[1] == "0 of 7 checks, 2 bursts (1 void), 23.4 s of at most 60 s"


def test_a_check_that_concluded_makes_room_and_leaves_its_verdict(run: Run, show: Show) -> None:
    finding = run[1][0]
    shown = show(after(run, CheckStarted(finding.check, "?"), FindingMade(finding)), 101.0)
    assert shown[0].split() == ["concurrent-duplicate", "VIOLATED", "3", "(allowed", "1)", "high"]
    assert shown[1].startswith("1 of 7 checks")
    assert len(shown) == 2


def test_the_next_check_starts_from_nothing(run: Run) -> None:
    progress = after(run, Progressed("a", "control", 1, 2), CheckStarted("b", "?"))
    assert (progress.check, progress.phase, progress.done, progress.total) == ("b", "", 0, 0)


def test_the_end_changes_nothing(run: Run) -> None:
    progress = after(run, CheckStarted("a", "?"))
    assert progress.after(run[2]) is progress


def test_a_long_or_hostile_phase_takes_one_line(run: Run, show: Show, hostile: str) -> None:
    shown = show(after(run, Progressed("a", hostile * 5, 1, 2)), 101.0)
    assert len(shown) == 2
    assert len(shown[0]) <= 80
    assert "\x1b" not in shown[0]


def test_a_run_of_no_checks_can_be_shown(make_run: Callable[..., Run], show: Show) -> None:
    assert show(Progress(make_run()[0], 0.0), 0.0) == ["0 of 0 checks, 0 bursts, 0.0 s of at most 60 s"]
