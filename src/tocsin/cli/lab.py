"""`tocsin lab`: list the lab's services, run one. The lab is in the repository, not in the wheel."""

import argparse
import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import textwrap
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Never

import tocsin
from tocsin.cli._errors import UsageError
from tocsin.cli._lab_generated import add_generated_to, verify, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab._services import Service  # not in the wheel

# 80 columns is the narrowest terminal that people still have.
COLUMNS = 80
HIGHEST_PORT = 0xFFFF
# Longer than any round trip on Earth; a larger number is a slip.
LONGEST_MS = 10_000


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `lab` with its own subcommands."""
    lab = subparsers.add_parser(
        "lab",
        help="list and run the vulnerable and hardened services of the lab",
        epilog="examples:\n  tocsin lab list\n  tocsin lab run flask-vulnerable --port 0\n"
        "  tocsin lab generate 17 --port 0\n  tocsin lab verify 17",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lab.set_defaults(run=run)
    commands = lab.add_subparsers(dest="lab_command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="every service, what it is, and what a scan must say")
    runner = commands.add_parser("run", help="run a service in the foreground until Ctrl-C")
    runner.add_argument("name", metavar="NAME", help="a service, as `tocsin lab list` names it, or SERVICE/ROUTE")
    runner.add_argument("--port", type=_port, metavar="N", help="default: the port in its plan; 0: any free one")
    runner.add_argument(
        "--fsync-ms", type=_milliseconds, default=0.0, metavar="MS",
        help="a slow disk: what every fsync takes more; default 0 (Linux, with a C compiler)",
    )  # fmt: skip
    add_generated_to(commands, _port)
    relay = commands.add_parser(
        "relay", help="a network between scanner and service: delays every connection by itself"
    )
    relay.add_argument("to", metavar="TO", type=_taken_port, help="the port of 127.0.0.1 where the service listens")
    relay.add_argument("--port", type=_port, default=0, metavar="N", help="where to listen; default: any free port")
    relay.add_argument(
        "--delay-ms", type=_milliseconds, default=1.0, metavar="MS", help="at least, each way; default 1"
    )
    relay.add_argument("--jitter-ms", type=_milliseconds, default=3.0, metavar="MS", help="at most more; default 3")


def run(args: argparse.Namespace) -> int:
    """Do what `args` ask for; 0 if it was done.

    Raises:
        UsageError: there is no lab here, no such service, something it needs is missing, or it does not start.
    """
    sys.path.insert(0, str(find_checkout(Path.cwd(), Path(tocsin.__file__))))
    from lab._services import LabError  # noqa: PLC0415  not in the wheel: importable only now

    try:
        match args.lab_command:
            case "list":
                return _list()
            case "relay":
                return _relay(args.to, args.port, args.delay_ms / 1000, args.jitter_ms / 1000)
            case "generate":
                return _generate(args.seed, args.into, args.port, starts=args.start)
            case "verify":
                return verify(args.name)
            case _:
                return _run(args.name, args.port, args.fsync_ms)
    except LabError as error:
        raise UsageError(str(error)) from None


def find_checkout(here: Path, installed: Path) -> Path:
    """The repository that holds the lab: `here` or above it, else the one tocsin is installed from in place.

    Args:
        here: where to begin.
        installed: the file of the package's __init__, which an editable install leaves at src/tocsin/__init__.py.

    Raises:
        UsageError: neither has a lab.
    """
    for folder in (here, *here.parents, *installed.parents[2:3]):
        if (folder / "lab" / "_launch.py").is_file():
            return folder
    raise UsageError(
        f"no lab/ in {here} or above it: the lab is not part of the installed package; "
        "clone the tocsin repository and run this command inside it"
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"port {text!r}: wanted a number from 0 to {HIGHEST_PORT}")
    return int(text)


def _taken_port(text: str) -> int:
    port = _port(text)
    if port == 0:
        raise argparse.ArgumentTypeError(f"port 0: wanted the port of a service, from 1 to {HIGHEST_PORT}")
    return port


def _milliseconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= LONGEST_MS:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: wanted milliseconds, from 0 to {LONGEST_MS}")


def _list() -> int:
    from lab._expected import truths  # noqa: PLC0415  not in the wheel
    from lab._services import find, names  # noqa: PLC0415  not in the wheel

    for name in names():
        service = find(name)
        print(name)
        lines = [service.description]
        for route in (service, *service.others()):
            broken = ", ".join(truth.check for truth in truths(route).values() if truth.verdict == "VIOLATED")
            subject = f"a scan of {route.title}" if route.route else "a scan"
            lines.append(f"{subject} must say: {f'VIOLATED {broken}' if broken else 'nothing VIOLATED'}")
        for line in lines:
            print(textwrap.fill(line, COLUMNS, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))
    return 0


def _run(name: str, port: int | None, fsync_ms: float) -> int:
    from lab._services import find  # noqa: PLC0415  not in the wheel
    from lab._slow_disk import environment  # noqa: PLC0415  not in the wheel

    return _serve(find(name), port, environment(fsync_ms) if fsync_ms else {})


def _generate(seed: int, folder: Path | None, port: int | None, *, starts: bool) -> int:
    """Write a service and start it; without a folder of its own, it goes when it stops."""
    if folder is None and not starts:
        raise UsageError("--no-start leaves nothing behind: wanted --into FOLDER")
    with written(seed, folder) as service:
        print(f"{service.name}: {service.description}\n  {service.folder}")
        return _serve(service, port) if starts else 0


def _serve(service: "Service", port: int | None, environment: "Mapping[str, str] | None" = None) -> int:
    from lab._launch import launch  # noqa: PLC0415  not in the wheel
    from lab._services import LabError  # noqa: PLC0415  not in the wheel

    # Set, not left to inheritance: a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        port = service.port if port is None else port
        with launch(service, port=port, environment=environment) as running:
            secret_file = running.data / "secret"
            _write_secret(secret_file, running.secret)
            print(f"{service.name} listens on {running.base_url}; Ctrl-C stops it.")
            print("Scan it from another terminal:\n")
            base_url = "" if running.port == service.port else running.base_url
            routes = [service] if service.route else [service, *service.others()]
            commands = [scan_command(route.plan, secret_file, base_url) for route in routes]
            print("".join(f"  {command}\n" for command in commands), flush=True)
            status = running.wait()
            raise LabError(f"{service.name} ended by itself with status {status}; {running.last_words()}")
    except KeyboardInterrupt:
        print(f"{service.name} is stopped.")
        return 0


def _relay(to: int, port: int, delay_s: float, jitter_s: float) -> int:
    from lab._relay import Link, serve  # noqa: PLC0415  not in the wheel
    from lab._services import LabError  # noqa: PLC0415  not in the wheel

    def say(listening: int) -> None:
        network = f"{delay_s * 1000:g} to {(delay_s + jitter_s) * 1000:g} ms each way"
        print(f"http://127.0.0.1:{listening} leads to port {to}, {network}; Ctrl-C stops it.", flush=True)

    try:
        asyncio.run(serve("127.0.0.1", port, ("127.0.0.1", to), Link(delay_s, jitter_s), say))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise LabError(f"port {port} of 127.0.0.1: {error.strerror}; wanted a free one") from None
    return 0


def scan_command(plan: Path, secret_file: Path, base_url: str) -> str:
    """A line for a POSIX shell that scans the running service; it names the secret's file, never the secret."""
    shown = plan.relative_to(Path.cwd()) if plan.is_relative_to(Path.cwd()) else plan
    override = f" --base-url {base_url}" if base_url else ""
    return f"LAB_SECRET=$(cat {shlex.quote(str(secret_file))}) {program()} scan {shlex.quote(str(shown))}{override}"


def program() -> str:
    """What a shell in this directory calls this program; in an environment that is not active, its path."""
    beside = Path(sys.executable).with_name("tocsin")
    if shutil.which("tocsin") or not beside.exists():
        return "tocsin"
    return shlex.quote(os.path.relpath(beside))


def _interrupt(_signal: int, _frame: FrameType | None) -> Never:
    raise KeyboardInterrupt


def _write_secret(path: Path, secret: str) -> None:
    # The mode is given at creation: a file that is narrowed afterwards was open to all for a moment.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
