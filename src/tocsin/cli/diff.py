"""`tocsin diff`: what is different between two runs of one operation."""

import argparse
import textwrap
from pathlib import Path

from tocsin.cli._errors import UsageError
from tocsin.cli._former_report import former_report
from tocsin.cli._run_archive import RunArchive, default_path
from tocsin.report._plain_text import line
from tocsin.report.comparison import Change, Kind, compare, exit_code
from tocsin.report.summary import RunSummary

_COLUMNS = 80
_MEANINGS = {
    Kind.APPEARED: "a violation that was not there",
    Kind.WORSE: "more severe, or violated in more ways",
    Kind.LOST: "could be told before, and cannot any more",
    Kind.WEAKER: "clean, and less was ruled out",
    Kind.MILDER: "still violated, less severe or in fewer ways",
    Kind.GONE: "was violated and is clean now",
    Kind.STRONGER: "clean, and more was ruled out",
    Kind.TOLD: "could not be told before, and is clean",
}
_EPILOG = """\
examples:
  tocsin diff monday.json tuesday.json
  tocsin diff 3f9a2c11 7be0     # runs of the history; a beginning is enough

exit codes:
  0  nothing got worse
  1  a violation appeared, or one is worse
  2  usage
  3  a check that could be told before cannot be told any more
"""


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "diff",
        help="what appeared, went or changed between two scans",
        description="What appeared, went or changed between two scans of one operation.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("before", metavar="A", help="the earlier JSON report, or a run's id")
    parser.add_argument("after", metavar="B", help="the later one")
    parser.add_argument("--history", metavar="FILE", type=Path, default=None, help="where run ids are looked up")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print every change, the worst first.

    Returns:
        0 nothing got worse, 1 a violation appeared or is worse, 3 an answer was lost.

    Raises:
        UsageError: one of the two is no report, or they are of different operations.
    """
    archive = RunArchive(args.history or default_path())
    before, after = former_report(args.before, archive), former_report(args.after, archive)
    try:
        changes = compare(before, after)
    except ValueError as error:
        raise UsageError(line(str(error))) from None
    print(f"{line(after.operation)}: {_when(before)} -> {_when(after)}")
    if before.target != after.target:
        print(f"note: {line(before.target)} then, {line(after.target)} now")
    for change in changes:
        _show(change)
    if not changes:
        print("Nothing changed.")
    return exit_code(changes)


def _when(run: RunSummary) -> str:
    return line(run.started_at)


def _show(change: Change) -> None:
    print(f"\n{change.kind.upper():<8}  {line(change.check)}: {_MEANINGS[change.kind]}")
    print(textwrap.fill(line(str(change)), _COLUMNS, initial_indent=" " * 10, subsequent_indent=" " * 10))
