"""`tocsin runs`: the scans that this user has made."""

import argparse
import json
import shlex
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tocsin.cli._errors import UsageError
from tocsin.cli._numbers import how_many
from tocsin.cli._run_archive import ArchivedRun, RunArchive, default_path
from tocsin.report._plain_text import line

_COLUMNS = 80
_EPILOG = """\
Runs are kept in $XDG_STATE_HOME/tocsin/runs.db, else in
~/.local/state/tocsin/runs.db, readable by their owner alone.

examples:
  tocsin runs list
  tocsin runs show 3f9a              # the beginning of an id is enough
  tocsin runs show 3f9a --json > report.json
  tocsin runs delete 3f9a2c11
  tocsin runs delete --keep 100      # all but the newest 100
"""


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `runs` with its own subcommands."""
    parser = subparsers.add_parser(
        "runs",
        help="list, show and delete former scans",
        description="Former scans. `tocsin scan` adds one each, unless it is told --no-history.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    commands = parser.add_subparsers(dest="runs_command", required=True, metavar="COMMAND")
    lister = commands.add_parser("list", help="the newest runs", allow_abbrev=False)
    lister.add_argument("--most", metavar="N", type=int, default=20, help="how many (default: 20)")
    shower = commands.add_parser("show", help="what a run found", allow_abbrev=False)
    shower.add_argument("id", metavar="RUN", help="an id, or the beginning of one")
    shower.add_argument("--json", action="store_true", help="the whole JSON report, as it was")
    deleter = commands.add_parser("delete", help="forget runs", allow_abbrev=False)
    deleter.add_argument("ids", metavar="RUN", nargs="*", help="an id, or the beginning of one")
    deleter.add_argument("--keep", metavar="N", type=int, help="delete all but the newest N")
    for command in (lister, shower, deleter):
        command.add_argument(
            "--history", metavar="FILE", type=Path, default=None, help="another file than the user's own"
        )


def run(args: argparse.Namespace) -> int:
    """Do what `args` ask for; 0 if it was done.

    Raises:
        UsageError: there is no such run, or the file cannot be used.
    """
    archive = RunArchive(args.history or default_path())
    if args.runs_command == "list":
        return _list(archive, args.most)
    if args.runs_command == "show":
        return _show(archive.run(args.id), as_json=args.json)
    return _delete(archive, args.ids, args.keep)


def _list(archive: RunArchive, most: int) -> int:
    runs = archive.newest(how_many("--most", most))
    if not runs:
        print(f"No runs in {archive.path}.")
        return 0
    print(f"{'run':<8}  {'started (UTC)':<19}  {'grade':<7}  {'verdict':<14}  operation")
    for one in runs:
        started = one.started_at.replace("T", " ").removesuffix("Z")
        grade = f"{one.grade} {one.score:>3}"
        print(f"{one.id}  {started:<19}  {grade:<7}  {one.verdict:<14}  {line(one.operation)}")
    return 0


def _show(one: ArchivedRun, *, as_json: bool) -> int:
    if as_json:
        print(one.report, end="")
        return 0
    report: dict[str, Any] = json.loads(one.report)
    print(f"run {one.id} of {one.started_at}: {line(one.operation)} at {line(one.target)}")
    print(f"plan {line(one.origin.plan)} in {line(one.origin.folder)}, seed {one.seed}")
    print(f"{one.verdict}, grade {one.grade}, {one.score} of 100\n")
    width = max((len(line(finding["check"])) for finding in report["findings"]), default=0)
    for finding in report["findings"]:
        severity = "" if finding["severity"] == "none" else finding["severity"]
        print(f"{line(finding['check']):<{width}}  {finding['verdict']:<14}  {severity}".rstrip())
        _argue(finding)
    for check in report["not_run"]:
        print(f"{line(check):<{width}}  not run")
    return 0


def _argue(finding: Mapping[str, Any]) -> None:
    """Why, in a paragraph; and for a violation how to see it again."""
    said = finding["bound"]["text"] if finding["bound"] else finding["evidence"]["summary"]
    print(textwrap.fill(line(said), _COLUMNS, initial_indent="    ", subsequent_indent="    "))
    if finding["verdict"] == "VIOLATED":
        print(f"    rerun: {shlex.join(['tocsin', 'scan', '--rerun', finding['id']])}")


def _delete(archive: RunArchive, prefixes: list[str], keep: int | None) -> int:
    if bool(prefixes) == (keep is not None):
        raise UsageError("wanted either ids of runs or --keep N")
    if keep is None:
        runs = [archive.run(prefix) for prefix in prefixes]
    else:
        # SQLite takes any negative number for no limit.
        runs = archive.newest(-1)[how_many("--keep", keep, least=0) :]
    archive.delete([one.id for one in runs])
    print(f"{len(runs)} deleted.")
    return 0
