"""The command `tocsin`. One file a command; this one parses, dispatches and turns errors into one line."""

import argparse
import sys
import traceback
from collections.abc import Sequence

from tocsin import __version__
from tocsin.cli import claims, diff, explain, lab, outbox, plan, runs, scan, schemes, sign, verify
from tocsin.cli._errors import Unfinished, UsageError
from tocsin.cli._streams import of_output, replace_closed, say, silence

_NO_VERDICT = 3
# In the order in which help lists them.
COMMANDS = {
    "plan": plan,
    "scan": scan,
    "explain": explain,
    "diff": diff,
    "runs": runs,
    "sign": sign,
    "verify": verify,
    "schemes": schemes,
    "claims": claims,
    "outbox": outbox,
    "lab": lab,
}
# Their exit code says what they came to: where they are broken off, nothing was told.
_GIVE_VERDICTS = {"plan", "scan", "diff", "verify"}
# 128 + SIGINT, as shells report a command that Ctrl-C ended.
_INTERRUPTED = 130
# EX_SOFTWARE of sysexits.h. Python's own 1 for an uncaught exception would read as "violated".
_OUR_FAULT = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Returns:
        0 clean or done, 1 violated or rejected, 2 wrong usage, 3 no verdict, 70 a bug of ours, 130 ended by Ctrl-C,
        143 a scan that SIGTERM ended.
    """
    parser = argparse.ArgumentParser(
        prog="tocsin",
        description="Find, fix and rule out race conditions behind HMAC-signed HTTP requests.",
        epilog="Exit codes: 0 clean or done, 1 violated or rejected, 2 usage, 3 no verdict, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"tocsin {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        command.add_to(subparsers)
    replace_closed()
    args = parser.parse_args(argv)
    code = None
    try:
        code = int(args.run(args))
        # Now, while a reader who has gone can still be told from an error: at exit Python would complain.
        sys.stdout.flush()
    except UsageError as error:
        return _say(error, 2)
    except Unfinished as error:
        return _say(error, _NO_VERDICT)
    except KeyboardInterrupt:
        return _say("interrupted", _INTERRUPTED)
    except OSError as error:
        return _unheard(error, args.command, code) if of_output(error) else _bug()
    except Exception:  # noqa: BLE001  the last line of defence: every exit code means one thing
        return _bug()
    return code


def _unheard(error: OSError, command: str, code: int | None) -> int:
    """The exit code of a command whose output nobody takes; None for the code of one that this has ended."""
    silence(sys.stdout)
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe (head) has seen enough.
        return code if code is not None else _NO_VERDICT if command in _GIVE_VERDICTS else 0
    return _say(f"standard output: {error.strerror}", code or _NO_VERDICT)


def _bug() -> int:
    traceback.print_exc()
    return _say("this is a bug in tocsin; please report it with the lines above", _OUR_FAULT)


def _say(error: object, code: int) -> int:
    say(error)
    return code
