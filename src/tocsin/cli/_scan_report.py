"""Where a scan's events go: the terminal at once, files and the history at the end, and an exit code."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from tocsin.cli._errors import UsageError
from tocsin.cli._run_archive import Origin, RunArchive
from tocsin.cli._streams import of_output, say, silence
from tocsin.events import Event, FindingMade, RunEnded, RunStarted
from tocsin.findings import EXIT_CODES, Finding, Verdict
from tocsin.report import html, json_report, junit, sarif
from tocsin.report.standing import NO_TERMS, Terms, standing
from tocsin.report.terminal import TerminalReport

_RENDERERS = {"json": json_report.render, "html": html.render, "sarif": sarif.render, "junit": junit.render}
_NAMES = {"json": "JSON", "html": "HTML", "sarif": "SARIF", "junit": "JUnit"}
_UNTOLD = EXIT_CODES[Verdict.INCONCLUSIVE]


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a run is kept.

    Args:
        asked_for: whether the user named the file: then it is an error if the run cannot be kept there.
    """

    archive: RunArchive
    origin: Origin
    asked_for: bool


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would exit with 1, and here that means violated."""
        raise BrokenPipeError


class ScanReport:
    """Takes events until RunEnded, then writes what was asked for; also when the run was interrupted.

    Args:
        files: where to write which report: "json", "html", "sarif", "junit"; None where it is not wanted.
        terms: what decides about the exit code.
        keeping: where the run is kept, or None.
        read: each file that the scan reads, and what it is: no report takes its place.

    Attributes:
        findings: what was concluded so far.

    Raises:
        UsageError: a file cannot be written where it was asked for; said before anything is sent.
    """

    def __init__(
        self,
        files: Mapping[str, str | None],
        terms: Terms = NO_TERMS,
        keeping: Keeping | None = None,
        read: Sequence[tuple[str, Path]] = (),
    ) -> None:
        self._files = {name: path for name, path in files.items() if path is not None}
        taken = [*read, *([("the history", keeping.archive.path)] if keeping is not None else [])]
        for name, path in self._files.items():
            _check_writable(path)
            _check_free(path, taken)
            taken.append((f"--{name}", Path(path)))
        if keeping is not None and keeping.asked_for:
            _check_writable(str(keeping.archive.path))
            _check_free(str(keeping.archive.path), read)
            keeping.archive.check()
        self._terms = terms
        self._keeping = keeping
        self._terminal = TerminalReport(_Console(file=sys.stdout), terms)
        self._started: RunStarted | None = None
        self.findings: list[Finding] = []

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
            self.findings.append(event.finding)
        written = [*self._keep(event), *self._write(event)] if isinstance(event, RunEnded) else []
        try:
            self._terminal.handle(event)
            for line in written:
                print(line)
        except OSError as error:
            if not of_output(error):
                raise
            self._go_on_unheard(error)

    def exit_code(self) -> int:
        """0 clean or accepted, 1 violated, 3 not told."""
        return standing(self._started, self.findings, self._terms).exit_code if self._started else _UNTOLD

    def _go_on_unheard(self, error: OSError) -> None:
        """The scan and its reports are not the terminal's: they come to their end without it."""
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            say(f"standard output: {error.strerror}; the scan goes on")
            self._miss()

    def _miss(self) -> None:
        self._terms = self._terminal.terms = replace(self._terms, unwritten=True)

    def _write(self, ended: RunEnded) -> list[str]:
        """Write the files; what to say about those that are there now."""
        assert self._started is not None, "RunStarted comes first"
        written = []
        for name, path in self._files.items():
            try:
                Path(path).write_text(
                    _RENDERERS[name](self._started, self.findings, ended, self._terms), encoding="utf-8"
                )
            except OSError as error:
                self._miss()
                say(f"{path} could not be written: {error.strerror}")
            else:
                written.append(f"{_NAMES[name]} report: {path}")
        return written

    def _keep(self, ended: RunEnded) -> list[str]:
        """Put the run into the history; what to say about it. One that nobody asked for fails without harm."""
        assert self._started is not None, "RunStarted comes first"
        if self._keeping is None:
            return []
        report = json_report.render(self._started, self.findings, ended, self._terms)
        try:
            return [f"Run {self._keeping.archive.add(report, self._keeping.origin)} (tocsin runs)"]
        except UsageError as error:
            if self._keeping.asked_for:
                self._miss()
            say(f"note: this run is not kept: {error}")
            return []


def _check_writable(name: str) -> None:
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{path} is a folder: wanted a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path}: no permission to write there")


def _check_free(name: str, taken: Iterable[tuple[str, Path]]) -> None:
    """Nothing that is read, and no other report, is at this place, whatever it is called there."""
    for what, path in taken:
        if _is_same(Path(name), path):
            raise UsageError(f"{name} is {what}, which would be overwritten: wanted another file")


def _is_same(one: Path, other: Path) -> bool:
    try:
        # A hard link is the same file by another path.
        return os.path.realpath(one) == os.path.realpath(other) or one.samefile(other)
    except (OSError, ValueError):
        # One of them is not there yet, or its name is none that a file can have.
        return False
