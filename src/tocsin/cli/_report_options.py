"""The options of `tocsin scan` that say where results go, and what is accepted."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tocsin.cli._errors import UsageError
from tocsin.cli._former_report import former_report
from tocsin.cli._run_archive import RunArchive, default_path
from tocsin.report._plain_text import line
from tocsin.report.score import GRADES, least_score
from tocsin.report.standing import Terms

# The option's name, and what the file is.
REPORTS = {
    "json": "the whole report, for programs",
    "html": "one page for people, with a timeline of every decisive burst",
    "sarif": "SARIF 2.1.0, for code scanners",
    "junit": "JUnit XML, for test servers",
}


class _Once(argparse.Action):
    """An option whose second value would take the place of the first one without a word."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse's signature
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002  likewise
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            raise argparse.ArgumentError(self, "wanted once")
        if values == "-":
            raise argparse.ArgumentError(self, "'-': wanted a file; standard output shows the scan itself")
        setattr(namespace, self.dest, values)


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add them in groups of their own."""
    reports = parser.add_argument_group("reports")
    for name, what in REPORTS.items():
        reports.add_argument(f"--{name}", metavar="FILE", help=what, action=_Once)
    accepted = parser.add_argument_group("what is accepted")
    accepted.add_argument(
        "--threshold",
        metavar="GRADE",
        help=f"exit with 0 from this grade ({', '.join(GRADES)}) or score (0 to 100) on, whatever was found",
    )
    accepted.add_argument(
        "--baseline", metavar="FILE", help="a former JSON report or a run's id: what it knows does not count"
    )
    history = parser.add_argument_group("history")
    history.add_argument(
        "--rerun", metavar="ID", help="ask again what a former run violated: its plan, check and seed; see tocsin runs"
    )
    kept = history.add_mutually_exclusive_group()
    kept.add_argument("--history", metavar="FILE", help="where runs are kept (default: see tocsin runs --help)")
    kept.add_argument("--no-history", action="store_true", help="keep nothing of this run")


def archive_of(args: argparse.Namespace) -> RunArchive:
    """The history that `args` name."""
    return RunArchive(default_path() if args.history is None else Path(args.history))


def terms_of(args: argparse.Namespace, operation: str) -> Terms:
    """What `args` accept, for a scan of this operation.

    Raises:
        UsageError: the threshold or the baseline cannot be understood, or the baseline is of another operation.
    """
    try:
        threshold = None if args.threshold is None else least_score(args.threshold)
    except ValueError as error:
        raise UsageError(f"--threshold {error}") from None
    if args.baseline is None:
        return Terms(threshold)
    baseline = former_report(args.baseline, archive_of(args))
    if baseline.operation != operation:
        raise UsageError(f"--baseline {args.baseline} is of {line(baseline.operation)}; this scan is of {operation}")
    return Terms(threshold, baseline)
