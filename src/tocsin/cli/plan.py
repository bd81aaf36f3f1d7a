"""`tocsin plan`: write a plan from what is at hand, and explain one before anything is sent."""

import argparse
import os
from pathlib import Path

from tocsin.cli._errors import UsageError
from tocsin.cli._foreign import sketch_of_curl, sketch_of_file
from tocsin.cli._plan_check import probed, read_plan, todos, told
from tocsin.cli._streams import show
from tocsin.inputs import InputError, Signing, of_preset, plan_text
from tocsin.signing import SchemeError, preset

_UNTOLD = 3
_EXAMPLE = """\
examples:
  tocsin plan new session.har -o plan.toml
  tocsin plan new openapi.yaml --entry 2 --scheme stripe --secret-env SECRET
  tocsin plan new --curl "curl http://127.0.0.1/order -d '{\\"id\\":\\"o-1\\"}'"
  tocsin plan check plan.toml --probe

exit codes of check:
  0  the plan is complete
  2  usage, or the plan is wrong
  3  something is still to be filled in, or could not be read
"""


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `plan` with its own subcommands."""
    plan = subparsers.add_parser(
        "plan",
        help="write a plan from a curl command, HAR, flow file or OpenAPI; explain a plan",
        description="Write a plan from what is at hand, and explain one before anything is sent.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plan.set_defaults(run=run)
    commands = plan.add_subparsers(dest="plan_command", required=True, metavar="COMMAND")
    new = commands.add_parser(
        "new", help="write a commented plan; what the source does not say is a TODO in it", allow_abbrev=False
    )
    new.add_argument(
        "source",
        metavar="FROM",
        nargs="?",
        help="a file: curl command, raw HTTP request, HAR, mitmproxy flows, OpenAPI 3.x (JSON, YAML)",
    )
    new.add_argument("--curl", metavar="COMMAND", help="a pasted curl command instead")
    new.add_argument("--entry", type=int, metavar="N", help="which request or operation of the file, from 0")
    new.add_argument("--scheme", metavar="NAME", help="how it is signed: a preset's name (default: by its headers)")
    new.add_argument("--secret-env", metavar="NAME", help="the environment variable that holds the secret")
    new.add_argument("-o", "--output", metavar="FILE", help="write to this file, not to standard output")
    new.add_argument("--force", action="store_true", help="overwrite that file")
    check = commands.add_parser(
        "check", help="explain a plan: what it sends, what is missing; sends nothing", allow_abbrev=False
    )
    check.add_argument("plan", metavar="PLAN", help="plan file (TOML)")
    check.add_argument("--probe", action="store_true", help="read its [[state]]s as well, by GET and nothing else")
    check.add_argument("--base-url", metavar="URL", help="in place of the plan's")
    check.add_argument(
        "--authorized-for",
        metavar="HOST",
        action="append",
        default=[],
        help="with --probe: you may read from this host, which is not this machine",
    )


def run(args: argparse.Namespace) -> int:
    """Do what `args` ask for.

    Raises:
        UsageError: a file, an option or the plan is wrong.
        Unfinished: the service could not be reached.
    """
    try:
        return _new(args) if args.plan_command == "new" else _check(args)
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs {error.name}: pip install 'tocsin[scan]'") from None


def _new(args: argparse.Namespace) -> int:
    if (args.source is None) == (args.curl is None):
        raise UsageError("wanted one of FROM and --curl")
    if args.curl is not None and args.entry is not None:
        raise UsageError("--entry goes with a file, not with --curl")
    signing = _signing(args.scheme)
    try:
        if args.curl is not None:
            sketch = sketch_of_curl(args.curl, signing)
        else:
            sketch = sketch_of_file(args.source, args.entry, signing)
        text = plan_text(sketch, secret_env=args.secret_env)
    except InputError as error:
        raise UsageError(str(error)) from None
    if args.output is None:
        print(text, end="")
        return 0
    _write(args.output, text, force=args.force)
    left = len(todos(text))
    print(f"{args.output}: {left} TODO{'' if left == 1 else 's'} left; tocsin plan check {args.output}")
    return 0


def _signing(scheme: str | None) -> Signing | None:
    if scheme is None:
        return None
    try:
        return of_preset(preset(scheme))
    except SchemeError as error:
        raise UsageError(f"--scheme: {error}") from None


def _write(path: str, text: str, *, force: bool) -> None:
    how = os.O_TRUNC if force else os.O_EXCL
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o666), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already: wanted --force to overwrite it") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _check(args: argparse.Namespace) -> int:
    from tocsin.scan import CHECKS, Options, describe  # noqa: PLC0415  the scan extra

    if args.authorized_for and not args.probe:
        raise UsageError("--authorized-for goes with --probe: without it, nothing is sent to anybody")
    plan, text = read_plan(args.plan, args.base_url)
    options = Options(CHECKS, 0, ())
    folder = Path(args.plan).parent
    *described, last = describe(plan, options).splitlines()
    show("\n".join([*described, "", *told(plan, folder)]))
    is_told = True
    if args.probe:
        print("\nRead now, by GET and nothing else")
        for line, could_be_read in probed(plan, args.authorized_for, folder):
            show(f"  {line}")
            is_told = is_told and could_be_read
    asked = todos(text)
    if asked:
        print("\nStill to be filled in")
        for number, what in asked:
            show(f"  {args.plan}:{number}: {what}")
    print("\nNothing that changes anything was sent." if args.probe else f"\n{last}")
    return 0 if is_told and not asked else _UNTOLD
