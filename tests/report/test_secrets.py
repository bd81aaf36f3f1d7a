"""No report holds a secret: none is among the events, and a report looks nowhere else."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tocsin.events import Event, RunEnded, RunStarted
from tocsin.findings import Finding
from tocsin.report import html, json_report, junit, sarif
from tocsin.report.terminal import TerminalReport

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]

CANARY = "whsec_4f1d9c0a7be2"


def test_a_secret_around_the_run_is_in_no_report(
    run: Run, events_of: Callable[[Run], list[Event]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORDERS_SECRET", CANARY)
    monkeypatch.setattr("sys.argv", ["tocsin", "sign", "--secret", CANARY])
    monkeypatch.chdir(tmp_path)
    Path(run[0].plan).parent.mkdir()
    Path(run[0].plan).write_text(f'secret = {{ value = "{CANARY}" }}', encoding="utf-8")
    console = Console(file=io.StringIO(), width=80)
    with TerminalReport(console) as report:
        for event in events_of(run):
            report.handle(event)
    assert isinstance(console.file, io.StringIO)
    rendered = [report.render(*run) for report in (json_report, html, sarif, junit)]
    for shown in (console.file.getvalue(), *rendered):
        assert "orders.toml" in shown
        assert CANARY not in shown
