"""Where a scan's events go: the terminal at once, files at the end, and an exit code."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from tocsin.cli._errors import UsageError
from tocsin.events import Event, FindingMade, RunEnded, RunStarted
from tocsin.findings import EXIT_CODES, Finding, Verdict, worst_verdict
from tocsin.report import html, json_report
from tocsin.report.terminal import TerminalReport


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would exit with 1, and here that means violated."""
        raise BrokenPipeError


class ScanReport:
    """Takes events until RunEnded, then writes the files that were asked for; also when the run was interrupted.

    Raises:
        UsageError: a file cannot be written where it was asked for; said before anything is sent.
    """

    def __init__(self, *, json: str | None, html: str | None) -> None:
        self._files = {"json": json, "html": html}
        for path in (json, html):
            if path is not None:
                _check_writable(Path(path))
        self._terminal = TerminalReport(_Console(file=sys.stdout))
        self._started: RunStarted | None = None
        self._findings: list[Finding] = []
        self._unwritten = False

    def __enter__(self) -> Self:
        self._terminal.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._terminal.__exit__(kind, error, traceback)

    def handle(self, event: Event) -> None:
        """Take one event. The files come before the terminal: a pipe whose reader has gone does not cost them."""
        if isinstance(event, RunStarted):
            self._started = event
        elif isinstance(event, FindingMade):
            self._findings.append(event.finding)
        written = self._write(event) if isinstance(event, RunEnded) else []
        self._terminal.handle(event)
        for line in written:
            print(line)

    def exit_code(self) -> int:
        """0 clean, 1 violated, 3 not told. A violation that was seen stays one, whatever else could not be told."""
        asked = self._started.checks if self._started else ()
        code = EXIT_CODES[worst_verdict(self._findings, asked)]
        # Whoever asked for a report and has none has not been told.
        return EXIT_CODES[Verdict.INCONCLUSIVE] if self._unwritten and not code else code

    def _write(self, ended: RunEnded) -> list[str]:
        """Write the files; what to say about those that are there now."""
        assert self._started is not None, "RunStarted comes first"
        written = []
        for name, render in (("json", json_report.render), ("html", html.render)):
            path = self._files[name]
            if path is None:
                continue
            try:
                Path(path).write_text(render(self._started, self._findings, ended), encoding="utf-8")
            except OSError as error:
                self._unwritten = True
                print(f"tocsin: {path} could not be written: {error.strerror}", file=sys.stderr)
            else:
                written.append(f"{name.upper()} report: {path}")
        return written


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: wanted a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path}: no permission to write there")
