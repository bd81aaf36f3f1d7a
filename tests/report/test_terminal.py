import io
import os
import pty
import re
import threading
import unicodedata
from collections.abc import Callable
from typing import TextIO

import pytest
from rich.console import Console

from tocsin.events import CheckStarted, Event, FindingMade, RunEnded, RunStarted
from tocsin.findings import Finding, Verdict
from tocsin.report.terminal import TerminalReport

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]
EventsOf = Callable[[Run], list[Event]]

COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7])[\d;]*m")
STYLE = re.compile(r"\x1b\[[\d;]*m")


class Watched(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def told(events: list[Event], file: TextIO | None = None, **options: bool | int | None) -> str:
    """What a console gets, 80 columns wide."""
    console = Console(file=file or io.StringIO(), width=80, **options)  # type: ignore[arg-type]  # Console's own options
    with TerminalReport(console) as report:
        for event in events:
            report.handle(event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_80_columns_without_colour(run: Run, events_of: EventsOf, assert_snapshot: Callable[[str, str], None]) -> None:
    assert_snapshot(told(events_of(run)), "terminal.txt")


def test_a_clean_run(clean_run: Run, events_of: EventsOf, assert_snapshot: Callable[[str, str], None]) -> None:
    assert_snapshot(told(events_of(clean_run)), "terminal-clean.txt")


def test_only_code_is_longer_than_80_columns(run: Run, events_of: EventsOf) -> None:
    long = [line for line in told(events_of(run)).splitlines() if len(line) > 80]
    assert [line.split()[0] for line in long] == ["tocsin", "guard", 'tx.execute("UPDATE']


def test_command_and_code_can_be_copied_as_they_stand(run: Run, events_of: EventsOf) -> None:
    shown = told(events_of(run))
    for finding in run[1]:
        if finding.reproducer:
            assert f"\n{finding.reproducer.command}\n" in shown
        if finding.remedy:
            assert finding.remedy.guard_call in shown


def test_a_pipe_gets_the_lines_of_a_check_as_it_concludes(run: Run, events_of: EventsOf) -> None:
    """Each in the moment of its event, and no progress."""
    console = Console(file=io.StringIO(), width=80)
    assert isinstance(console.file, io.StringIO)
    report = TerminalReport(console)
    for event in events_of(run)[:-1]:
        before = console.file.getvalue()
        report.handle(event)
        new = console.file.getvalue().removeprefix(before)
        match type(event).__name__:
            case "RunStarted":
                assert new.startswith("tocsin 0.1.0: POST /order at http://127.0.0.1:8000\n")
            case "FindingMade":
                assert isinstance(event, FindingMade)
                first, *worth = new.splitlines()
                assert first.startswith(f"{event.finding.check} ")
                assert bool(worth) == (event.finding.verdict in {Verdict.NOT_OBSERVED, Verdict.NOT_APPLICABLE})
                assert all(line.startswith("    ") for line in worth)
            case _:
                assert new == ""


def test_nothing_that_others_wrote_acts_on_the_screen(run: Run, events_of: EventsOf) -> None:
    shown = told(events_of(run))
    active = {character for character in shown if unicodedata.category(character) in {"Cc", "Cf"}}
    assert active == {"\n"}
    assert "\\x1b[2J[red]<script>" in shown
    assert not any(line.startswith("sequential-replay  VIOLATED") for line in shown.splitlines())


def test_on_a_terminal_only_our_own_styles_remain(run: Run, events_of: EventsOf) -> None:
    shown = told(events_of(run), force_terminal=True, force_interactive=False)
    assert COLOUR.search(shown)
    assert "\x1b" not in STYLE.sub("", shown)


def test_hostile_names_of_target_and_plan_are_harmless(events_of: EventsOf, clean_run: Run, hostile: str) -> None:
    _, findings, ended = clean_run
    started = RunStarted(hostile, hostile, hostile, hostile, (hostile,), 1, 0.0, 60.0)
    shown = told(events_of((started, findings, RunEnded(1.0, 2, 3, hostile, hostile))))
    assert {character for character in shown if unicodedata.category(character) in {"Cc", "Cf"}} == {"\n"}
    assert ended.interrupted == ""


def test_no_color_is_respected(run: Run, events_of: EventsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert COLOUR.search(told(events_of(run), force_terminal=True, force_interactive=False)) is None


def test_colour_forced_into_a_pipe_moves_no_cursor(
    run: Run, events_of: EventsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pipelines set FORCE_COLOR, and keep what they get."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = told(events_of(run))
    assert COLOUR.search(shown)
    assert "\x1b" not in STYLE.sub("", shown)


def test_an_ascii_console_gets_escapes_and_no_error(clean_run: Run, events_of: EventsOf) -> None:
    _, findings, ended = clean_run
    started = RunStarted("0.1.0", "http://127.0.0.1", "POST /größe", "plan.toml", ("a",), 1, 0.0, 60.0)
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii", write_through=True), width=80)
    with TerminalReport(console) as report:
        for event in events_of((started, findings, ended)):
            report.handle(event)
    assert b"POST /gr\\xf6\\xdfe" in raw.getvalue()


@pytest.mark.parametrize(
    ("verdict", "last"),
    [
        (Verdict.VIOLATED, "Exit code 1: violated."),
        (Verdict.INCONCLUSIVE, "Exit code 3: inconclusive."),
        (Verdict.NOT_OBSERVED, "Exit code 0: not observed."),
        (Verdict.NOT_APPLICABLE, "Exit code 3: not applicable."),
    ],
)
def test_the_last_line_says_what_the_exit_code_means(
    run: Run, make_run: Callable[..., Run], events_of: EventsOf, verdict: Verdict, last: str
) -> None:
    finding = next(finding for finding in run[1] if finding.verdict is verdict)
    assert told(events_of(make_run(finding))).splitlines()[-1] == f"4,212 requests, 31 effects, 23.4 s. {last}"


def test_an_event_before_the_run_started_is_refused() -> None:
    with pytest.raises(ValueError, match="CheckStarted came before RunStarted"):
        told([CheckStarted("a", "?")])


def test_a_run_that_breaks_off_leaves_the_cursor_visible(
    run: Run, events_of: EventsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=Watched(), width=80, force_terminal=True)

    def broken_off() -> None:
        with TerminalReport(console) as report:
            report.handle(events_of(run)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert isinstance(console.file, Watched)
    shown = console.file.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_dumb_terminal_gets_plain_lines(run: Run, events_of: EventsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in told(events_of(run), Watched(), force_terminal=True)


def test_a_real_terminal_shows_progress_and_then_the_result(
    run: Run, events_of: EventsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    received: list[bytes] = []
    reader = threading.Thread(target=drain, args=(ours, received))
    reader.start()
    terminal = os.fdopen(theirs, "w", encoding="utf-8")
    with terminal, TerminalReport(Console(file=terminal, width=80)) as report:
        for event in events_of(run):
            report.handle(event)
    reader.join()
    os.close(ours)
    shown = b"".join(received).decode()
    progress, result = shown.split("\x1b[?25h")
    assert "0 of 7 checks, 0 bursts, " in progress
    assert "6 of 7 checks, 12 bursts (6 void), " in progress
    assert "Rerun:" not in progress
    assert result.count("\nover-allocation ") == 1
    # The progress is wiped: the cursor goes up over it, line by line.
    assert "\x1b[1A\x1b[2K" in result
    assert result.index("\x1b[1A\x1b[2K") < result.index("Rerun:")


def drain(terminal: int, received: list[bytes]) -> None:
    """Read until the other side is closed, which Linux tells as an error and macOS as an end."""
    try:
        while chunk := os.read(terminal, 4096):
            received.append(chunk)
    except OSError:
        pass


def test_a_terminal_without_columns_is_written_to_as_if_it_had_80(
    run: Run, events_of: EventsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    console = Console(file=Watched(), force_terminal=True)
    assert console.width == 0
    with TerminalReport(console) as report:
        for event in events_of(run):
            report.handle(event)
    assert isinstance(console.file, Watched)
    shown = STYLE.sub("", console.file.getvalue())
    assert told(events_of(run)).splitlines()[-1] in shown
