"""`tocsin outbox`: send what handlers have put into the outbox, and see what became of it.

run sends; list and resend look after what is waiting or dead; migrate makes the table.
"""

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tocsin.cli._errors import Unfinished, UsageError
from tocsin.cli._numbers import how_many
from tocsin.cli._streams import say
from tocsin.outbox import Kept, OutboxError, OutboxUnavailable, Session, State
from tocsin.outbox._config import Config

_NONE_FOUND = 1
_DEFAULT = "outbox.toml"
_ROW = "{:<36}  {:<12}  {:<9}  {:>8}  {:<16}  {}"


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "outbox",
        help="deliver what handlers have put into the outbox, at least once",
        description=__doc__,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND", dest="subcommand")
    run = _add(commands, "run", _run, "deliver what is due, until Ctrl-C or SIGTERM")
    run.add_argument("--once", action="store_true", help="send everything that is due now once, and end")
    run.add_argument("--quiet", action="store_true", help="say nothing of what is delivered, only of what fails")
    listing = _add(commands, "list", _list, "the newest messages")
    listing.add_argument("--state", choices=[state.value for state in State], help="only messages in this state")
    listing.add_argument("--destination", metavar="NAME", help="only messages for this destination")
    listing.add_argument("--limit", metavar="N", type=int, default=20, help="at most so many (default: 20)")
    listing.add_argument("--json", action="store_true", help="a JSON array instead of a table")
    resend = _add(commands, "resend", _resend, "make dead or delivered messages due again, under their ids")
    resend.add_argument("id", metavar="ID", nargs="*", help="message ids")
    resend.add_argument("--dead", action="store_true", help="every dead message instead")
    resend.add_argument("--destination", metavar="NAME", help="with --dead: only messages for this destination")
    _add(commands, "migrate", _migrate, "create the table where it is missing")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=Path(_DEFAULT), help=f"database and destinations ({_DEFAULT})"
    )
    parser.set_defaults(run=_explained(run))
    return parser


def _explained(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def explained(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except OutboxError as error:
            raise UsageError(str(error)) from None
        except OutboxUnavailable as error:
            raise Unfinished(str(error)) from None
        except ModuleNotFoundError as error:
            raise UsageError(str(error)) from None

    return explained


def _run(args: argparse.Namespace) -> int:
    from tocsin.outbox._runner import Runner  # noqa: PLC0415  it needs an HTTP client

    config = _config(args)
    outbox, destinations = config.outbox(), config.destinations()
    logging.basicConfig(
        format="%(asctime)s %(message)s", level=logging.WARNING if args.quiet else logging.INFO, stream=sys.stderr
    )
    _say_who_is_left_out(args, {one.name for one in destinations})
    runner = Runner(outbox, destinations, config.options())
    if args.once:
        runner.run_once()
        return 0

    def stop(number: int, _frame: object) -> None:
        # What is being sent is brought to its end; whoever asks twice does not want to wait for it.
        signal.signal(number, signal.SIG_DFL)
        runner.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    print(f"delivering from {outbox.where} to {', '.join(one.name for one in destinations)}; Ctrl-C ends", flush=True)
    runner.run()
    return 0


def _say_who_is_left_out(args: argparse.Namespace, known: set[str]) -> None:
    with _session(args) as session:
        for (name, state), number in session.counts().items():
            if state is State.WAITING and name not in known:
                say(f"{number} messages wait for {name}, which {args.config} does not name")


def _list(args: argparse.Namespace) -> int:
    most = how_many("--limit", args.limit)
    state = None if args.state is None else State(args.state)
    with _session(args) as session:
        found = session.list(state=state, destination=args.destination, most=most)
    if args.json:
        print(json.dumps([asdict(kept) | {"state": kept.state.value} for kept in found], indent=2))
        return 0
    print(_ROW.format("message", "destination", "state", "attempts", "put (UTC)", "last error"))
    for kept in found:
        print(_line(kept))
    return 0


def _line(kept: Kept) -> str:
    put = datetime.fromtimestamp(kept.put_unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    return _ROW.format(kept.id, kept.destination, kept.state.value, kept.attempts, put, kept.error or "").rstrip()


def _resend(args: argparse.Namespace) -> int:
    if bool(args.id) == args.dead:
        raise UsageError("wanted message ids, or --dead for every dead message")
    if args.destination is not None and not args.dead:
        raise UsageError("--destination goes with --dead")
    with _session(args) as session:
        if args.dead:
            print(f"due again: {session.resend_dead(args.destination, now_s=time.time())} messages")
            return 0
        missing = [one for one in args.id if not session.resend(one, now_s=time.time())]
    for one in missing:
        print(f"{one}: no such message, or it is waiting to be sent anyway")
    print(f"due again: {len(args.id) - len(missing)} messages")
    return _NONE_FOUND if missing else 0


def _migrate(args: argparse.Namespace) -> int:
    _config(args).outbox().migrate()
    print("the table is there")
    return 0


@contextmanager
def _session(args: argparse.Namespace) -> Iterator[Session]:
    with _config(args).outbox().connected() as session:
        yield session


def _config(args: argparse.Namespace) -> Config:
    return Config(args.config)
