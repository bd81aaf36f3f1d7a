"""The command `tocsin`. One file a command; this one parses, dispatches and turns errors into one line."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from tocsin import __version__
from tocsin.cli import claims, diff, explain, lab, outbox, plan, runs, scan, schemes, sign, verify
from tocsin.cli._errors import Unfinished, UsageError

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
# 128 + SIGINT, as shells report a command that Ctrl-C ended.
_INTERRUPTED = 130
# EX_SOFTWARE of sysexits.h. Python's own 1 for an uncaught exception would read as "violated".
_OUR_FAULT = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Returns:
        0 clean or done, 1 violated or rejected, 2 wrong usage, 3 no verdict, 70 a bug of ours, 130 ended by Ctrl-C.
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
    args = parser.parse_args(argv)
    code = _NO_VERDICT
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
    except BrokenPipeError:
        # The reader of a pipe (head) has seen enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception:  # noqa: BLE001  the last line of defence: every exit code means one thing
        traceback.print_exc()
        return _say("this is a bug in tocsin; please report it with the lines above", _OUR_FAULT)
    return code


def _say(error: object, code: int) -> int:
    print(f"tocsin: {error}", file=sys.stderr)
    return code
