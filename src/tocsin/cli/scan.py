"""`tocsin scan`: race a running service from outside, and say what its state says."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from tocsin.cli._errors import Unfinished, UsageError
from tocsin.cli._plan_check import placed
from tocsin.cli._report_options import REPORTS, add_report_options, archive_of, terms_of
from tocsin.cli._rerun import announce, origin_of, outcome, prepare
from tocsin.cli._scan_by_curl import add_curl_options, check_curl_options, curl_words, tables_of
from tocsin.cli._sigterm import TERMINATED, raising
from tocsin.cli._streams import say, show

if TYPE_CHECKING:
    from tocsin.cli._scan_report import ScanReport
    from tocsin.scan import Options, Plan
    from tocsin.wire import Address

_KNOCK_S = 5.0
_EXAMPLE = """\
examples:
  tocsin scan plan.toml
  tocsin scan plan.toml --only concurrent-duplicate --html report.html
  tocsin scan plan.toml --sarif tocsin.sarif --baseline accepted.json
  tocsin scan --rerun be6089131821
  tocsin scan --scheme hex-sha256-body --secret-env ORDERS_SECRET \\
      --curl "curl http://127.0.0.1:8000/order -d '{\\"id\\":\\"{{uuid}}\\"}'" \\
      --state "GET /orders/{{uuid}}" --pointer /count --accept-effects 500

exit codes:
  0    no check was violated, or the threshold is reached
  1    a check was violated
  2    usage; nothing was sent
  3    inconclusive: not everything could be told
  130  ended by Ctrl-C: nothing more is sent
  143  ended by SIGTERM: once the state is brought back, if the plan says how
"""


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `scan`."""
    parser = subparsers.add_parser(
        "scan",
        help="race a running service from outside and give a verdict",
        description="Race a running service from outside, read its state, and give a verdict with\nevidence and bound.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="plan file (TOML)")
    parser.add_argument(
        "--only",
        metavar="CHECK,...",
        action="append",
        help="run these checks and no others; may be given several times",
    )
    parser.add_argument(
        "--opt-in",
        metavar="CHECK",
        action="append",
        default=[],
        choices=["comparison-timing"],
        help="run a check as well that takes long: comparison-timing",
    )
    parser.add_argument("--quick", action="store_true", help="within 8 s; the bounds say what that costs")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    parser.add_argument("--base-url", metavar="URL", help="in place of the plan's")
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="in place of the plan's: auto, http/1.1, h2, h2c, or h3 (pip install 'tocsin[http3]')",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="repeat the sizes and orders of another scan")
    add_report_options(parser)
    rails = parser.add_argument_group("permission")
    rails.add_argument(
        "--authorized-for",
        metavar="HOST",
        action="append",
        default=[],
        help="you may test this host, which is not this machine; may be given several times",
    )
    rails.add_argument(
        "--accept-effects", type=int, metavar="N", help="accept up to N state changes that nothing resets"
    )
    rails.add_argument(
        "--allow-oracle",
        metavar="KIND",
        action="append",
        default=[],
        choices=["sql", "command", "file"],
        help="run the plan's queries (sql) or commands (command), or read its files (file), on this machine",
    )
    rails.add_argument(
        "--ownership-proof",
        metavar="TOKEN",
        help="send nothing but a question for this token (/.well-known/tocsin-ownership, or a TXT record of "
        "_tocsin-ownership.HOST) until every host has shown it",
    )
    add_curl_options(parser)


def run(args: argparse.Namespace) -> int:
    """Scan as `args` say.

    Raises:
        UsageError: the plan, an option or a permission is wrong; nothing was sent.
        Unfinished: the service could not be reached at all.
    """
    try:
        from tocsin import scan as scanner  # noqa: PLC0415  the scan extra is needed only here
        from tocsin.cli._scan_report import Keeping, ScanReport  # noqa: PLC0415  as above
    except ModuleNotFoundError as error:
        raise UsageError(f"scanning needs {error.name}: pip install 'tocsin[scan]'") from None
    archive = archive_of(args)
    rerun = None if args.rerun is None else prepare(args, archive)
    try:
        plan = _plan(args)
        wanted = _wanted(args.only)
        checks = [check for check in scanner.CHECKS if check.id in wanted]
        seed = secrets.randbelow(2**32) if args.seed is None else args.seed
        # Whoever names a check with --only has asked for it.
        opted_in = frozenset(args.opt_in) | (frozenset() if args.only is None else frozenset(wanted))
        options = scanner.Options(checks, seed, _command(args, plan), opted_in)
        if args.quick:
            settles = sum(check.cost.settles for check in checks if not options.missing(check, plan))
            plan = scanner.quick(plan, settles=settles, elapsed_s=_started_s_ago())
        _check_numbers(args)
        terms = terms_of(args, str(plan.request))
        keeping = None if args.no_history else Keeping(archive, origin_of(args), asked_for=args.history is not None)
        report = ScanReport({name: getattr(args, name) for name in REPORTS}, terms, keeping, _read(args, plan))
        if args.dry_run:
            show(scanner.describe(plan, options))
            return 0
        plan = _authorised(plan, args)
        if rerun is not None:
            announce(rerun)
        code = _scan(plan, options, args, report)
        if rerun is not None:
            print(outcome(rerun, report.findings))
    except (scanner.PlanError, scanner.RailError) as error:
        raise UsageError(str(error)) from None
    return code


def _scan(plan: "Plan", options: "Options", args: argparse.Namespace, report: "ScanReport") -> int:
    from tocsin import scan as scanner  # noqa: PLC0415  as above
    from tocsin.signing import SchemeError  # noqa: PLC0415  as above
    from tocsin.wire import DeliveryError  # noqa: PLC0415  as above

    folder = Path(args.plan or ".").parent
    try:
        secret, *others = scanner.senders(plan, folder)
        addresses = scanner.addresses(plan, folder=folder)
        if args.ownership_proof is not None:
            scanner.prove_ownership(addresses, args.ownership_proof)
        _knock(addresses[""])
    except SchemeError as error:
        raise UsageError(f"[signing] {error}") from None
    except DeliveryError as error:
        raise Unfinished(f"nothing to scan: {error}") from None
    for note in plan.notes:
        say(f"note: {note}")
    try:
        with report, raising(scanner.Terminated):
            scanner.run(plan, secret, addresses, options, report.handle, others=others, folder=folder, sent=1)
    except scanner.Terminated as ended:
        say(ended)
        return TERMINATED
    return report.exit_code()


def _knock(address: "Address") -> None:
    """Something must answer before a scan begins: whatever HTTP that is. Raises DeliveryError if nothing does."""
    from tocsin.wire import DeliveryError, Failure, exchange, request_bytes  # noqa: PLC0415  the scan extra

    try:
        exchange(request_bytes("OPTIONS", "*", (("Host", address.authority),), b""), address, timeout_s=_KNOCK_S)
    except DeliveryError as error:
        # A service may well hang up on a request that it does not know.
        if not error.request_sent or error.kind is Failure.NOT_HTTP:
            raise


def _plan(args: argparse.Namespace) -> "Plan":
    from tocsin.scan import plan_from_tables, rehearse, speaking  # noqa: PLC0415  the scan extra

    if (args.plan is None) == (args.curl is None):
        raise UsageError("wanted one of PLAN, --curl and --rerun")
    check_curl_options(args)
    if args.plan is not None:
        plan = _plan_of_file(args.plan, args.base_url)
    else:
        plan = plan_from_tables(tables_of(args), "--curl", base_url=args.base_url)
        rehearse(plan)
    return plan if args.protocol is None else speaking(plan, args.protocol)


def _plan_of_file(path: str, base_url: str | None) -> "Plan":
    from tocsin.scan import PlanError, beside, plan_from_toml, rehearse  # noqa: PLC0415  the scan extra

    text = _text(path)
    try:
        plan = plan_from_toml(text, path, base_url=base_url, files=beside(Path(path).parent))
        rehearse(plan)
    except PlanError as error:
        raise UsageError(placed(error, text, path, base_url)) from None
    return plan


def _started_s_ago() -> float:
    """How long this process has run; 0 where the system does not say."""
    try:
        # proc(5): the 22nd field, in ticks since boot; the second one, a name in parentheses, may hold spaces.
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"plan {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"plan {path}: not UTF-8, as TOML is") from None


def _wanted(only: Sequence[str] | None) -> Sequence[str]:
    from tocsin.scan import CHECKS  # noqa: PLC0415  the scan extra

    known = [check.id for check in CHECKS]
    if only is None:
        return known
    wanted = [name.strip() for names in only for name in names.split(",")]
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise UsageError(
                f'--only: no check "{name}"; ' + (f'did you mean "{close[0]}"?' if close else ", ".join(known))
            )
    return wanted


def _check_numbers(args: argparse.Namespace) -> None:
    if args.seed is not None and not -(2**63) <= args.seed < 2**63:
        # The history could not hold it.
        raise UsageError(f"--seed {args.seed}: wanted a number of at most 64 bits")
    if args.accept_effects is not None and args.accept_effects < 1:
        raise UsageError(f"--accept-effects {args.accept_effects}: wanted 1 or more")


def _read(args: argparse.Namespace, plan: "Plan") -> list[tuple[str, Path]]:
    """Every file that this scan reads, and what it is."""
    from tocsin.scan import named_files  # noqa: PLC0415  the scan extra

    folder = Path(args.plan or ".").parent
    of_plan = [("the plan", Path(args.plan))] if args.plan is not None else []
    return of_plan + [(what, folder / name) for what, name in named_files(plan)]


def _authorised(plan: "Plan", args: argparse.Namespace) -> "Plan":
    """What the command line permits; a person at the terminal may be asked about effects that nothing resets."""
    from tocsin.scan import EffectsNotAccepted, authorise  # noqa: PLC0415  the scan extra

    try:
        return authorise(plan, args.authorized_for, accept_effects=args.accept_effects, allow_oracle=args.allow_oracle)
    except EffectsNotAccepted:
        if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(f"The plan has no [reset]: up to {plan.budget.effects} changes stay in {plan.base_url}.", file=sys.stderr)
        print("Accept them? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise UsageError("not accepted; nothing was sent") from None
        return authorise(plan, args.authorized_for, accept_effects=plan.budget.effects, allow_oracle=args.allow_oracle)


def _command(args: argparse.Namespace, plan: "Plan") -> tuple[str, ...]:
    """The command line that repeats this scan; secrets are not on it, for they are named by variable or file."""
    words = ["tocsin", "scan", *([args.plan] if args.plan is not None else []), *curl_words(args, plan)]
    for option, value in (
        ("--base-url", args.base_url),
        ("--protocol", args.protocol),
        ("--accept-effects", args.accept_effects),
        *(("--opt-in", check) for check in args.opt_in),
        *(("--allow-oracle", kind) for kind in args.allow_oracle),
        ("--ownership-proof", args.ownership_proof),
        *(("--authorized-for", host) for host in args.authorized_for),
    ):
        words += [] if value is None else [option, str(value)]
    return tuple(words)
