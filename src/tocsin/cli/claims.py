"""`tocsin claims`: what a guard has applied, and what it keeps of it.

list, show, streams and export read; prune lets go of what has had its time; migrate makes the tables.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from tocsin.cli._claims_target import add_target_options, opened
from tocsin.cli._claims_text import document, facts, stream_document, stream_table, table
from tocsin.cli._errors import UsageError
from tocsin.cli._numbers import how_many
from tocsin.guard import StoreError, claim_key
from tocsin.guard._admin import Administration, Chosen, Kept, KeyRange
from tocsin.report._plain_text import encodable

_LABEL_WIDTH = 13
_NONE_FOUND = 1
# A pruning that meets a busy store waits for it: a sweep itself gives way to requests after a fraction of a second.
_ATTEMPTS = 50
_PAUSE_S = 0.1
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_A_TIME = 'wanted a time such as "2026-11-21", "2026-11-21T10:00Z" (UTC where no zone is given), or an age such as "7d"'


def add_to(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "claims", help="see, prune and export what a guard has applied", description=__doc__, allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND", dest="subcommand")
    _add(commands, "list", _list, "the newest claims", _list_options)
    _add(commands, "show", _show, "one claim, by its key or by what the key is made of", _show_options)
    _add(commands, "streams", _streams, "the streams of messages that are applied in order", _streams_options)
    _add(commands, "prune", _prune, "let go of answers and claims that have had their time", _prune_options)
    _add(commands, "migrate", _migrate, "create the tables, under the store's lock", _migrate_options)
    _add(commands, "export", _export, "every claim, a JSON object a line", _export_options)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    add_options: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        allow_abbrev=False,
        # Argparse does not break the line within the options of which one is wanted.
        usage=f"%(prog)s (--sqlite PATH | ...) [options]{' [KEY]' if name == 'show' else ''}",
    )
    add_target_options(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def _choice_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--unsettled", action="store_true", help="only claims whose answer is not known")
    parser.add_argument("--tenant", metavar="NAME", help="only claims of this tenant")
    parser.add_argument("--operation", metavar="NAME", help="only claims of this operation")
    parser.add_argument("--since", metavar="TIME", help="only claims taken since then: 2026-11-21, or an age: 7d")


def _list_options(parser: argparse.ArgumentParser) -> None:
    _choice_options(parser)
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="at most so many (default: 20)")
    parser.add_argument("--json", action="store_true", help="a JSON array instead of a table")


def _show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", nargs="?", help="the key in hexadecimal, or its first digits")
    parser.add_argument("--operation", metavar="NAME", help="derive the key instead: the operation's name")
    parser.add_argument("--value", metavar="ID", help="and the message's id, such as an order id")
    parser.add_argument("--tenant", metavar="NAME", help="and the tenant (default: main)")
    parser.add_argument("--json", action="store_true", help="a JSON array instead of text")


def _streams_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="at most so many (default: 20)")
    parser.add_argument("--json", action="store_true", help="a JSON array instead of a table")


def _prune_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--before", metavar="TIME", help="only what was due before: 2026-11-21, or an age: 7d")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")


def _migrate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sql", action="store_true", help="print the SQL, and change nothing")


def _export_options(parser: argparse.ArgumentParser) -> None:
    _choice_options(parser)
    parser.add_argument("--answers", action="store_true", help="with the stored header fields and bodies, in base64")


def _list(args: argparse.Namespace) -> int:
    chosen, limit = _chosen(args), how_many("--limit", args.limit)
    with opened(args) as store:
        found = store.newest(chosen, limit)
    if args.json:
        print(_json(found))
        return 0
    for line in table(found, _now_ms()):
        _print(line)
    return 0


def _streams(args: argparse.Namespace) -> int:
    limit = how_many("--limit", args.limit)
    with opened(args) as store:
        count, newest = store.streams(limit)
    if args.json:
        print(json.dumps([stream_document(stream) for stream in newest], indent=2))
        return 0
    for line in stream_table(newest):
        _print(line)
    print(f"{count} in all, kept for ever")
    return 0


def _show(args: argparse.Namespace) -> int:
    ranges = list(_key_ranges(args))
    with opened(args) as store:
        found = [kept for keys in ranges for kept in store.newest(Chosen(keys=keys), 2)]
    if not found:
        print("no such claim: nothing was applied under this key, or it has been let go")
        return _NONE_FOUND
    if args.key is not None and len(found) > 1:
        raise UsageError(f"{args.key!r} is the beginning of several keys; wanted more of its digits")
    if args.json:
        print(_json(found))
        return 0
    for number, kept in enumerate(found):
        if number:
            print()
        for name, text in facts(kept, _now_ms()):
            _print(f"{name:<{_LABEL_WIDTH}}{text}")
    return 0


def _key_ranges(args: argparse.Namespace) -> Iterator[KeyRange]:
    """The keys that are asked for: by digits, or derived from a value that may be a text or an integer."""
    derived = (args.operation, args.value)
    if args.key is not None:
        if any(option is not None for option in (*derived, args.tenant)):
            raise UsageError("KEY and --operation, --value, --tenant exclude each other")
        try:
            yield KeyRange.of_prefix(args.key.lower())
        except ValueError:
            raise UsageError(f"{args.key!r} is no key; wanted 1 to 64 hexadecimal digits") from None
        return
    if None in derived:
        raise UsageError("wanted KEY, or both --operation NAME and --value ID")
    scope = ("main" if args.tenant is None else args.tenant, args.operation)
    keys = [claim_key(*scope, "string", _utf8(args.value))]
    if re.fullmatch(r"0|-?[1-9]\d*", args.value, re.ASCII):
        # "17" and 17 are different messages.
        keys.append(claim_key(*scope, "integer", args.value.encode()))
    for key in keys:
        yield KeyRange(key, key)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"--value {value!r}: wanted text in UTF-8") from None


def _prune(args: argparse.Namespace) -> int:
    now_ms = _now_ms()
    before_ms = now_ms if args.before is None else _time_ms("--before", args.before)
    if before_ms > now_ms:
        raise UsageError(f"--before {args.before}: in the future; what is not due yet must be kept")
    with opened(args) as store:
        due = store.due(before_ms)
        if args.dry_run:
            print(f"due: {due.answers} answers and {due.claims} claims")
            return 0
        while _patiently(store, before_ms):
            pass
    print(f"pruned {due.answers} answers and {due.claims} claims")
    return 0


def _patiently(store: Administration, before_ms: int) -> int:
    for _ in range(_ATTEMPTS - 1):
        try:
            return store.prune(before_ms)
        except StoreError:
            time.sleep(_PAUSE_S)
    return store.prune(before_ms)


def _migrate(args: argparse.Namespace) -> int:
    with opened(args) as store:
        if args.sql:
            print(store.sql(), end="")
            return 0
        store.migrate()
    print("the tables are there")
    return 0


def _export(args: argparse.Namespace) -> int:
    with opened(args) as store:
        for kept in store.all(_chosen(args), with_answers=args.answers):
            print(json.dumps(document(kept, _now_ms(), with_answer=args.answers)))
    return 0


def _print(text: str) -> None:
    print(encodable(text, sys.stdout.encoding or "ascii"))


def _json(found: list[Kept]) -> str:
    return json.dumps([document(kept, _now_ms(), with_answer=False) for kept in found], indent=2)


def _chosen(args: argparse.Namespace) -> Chosen:
    since_ms = None if args.since is None else _time_ms("--since", args.since)
    return Chosen(args.tenant, args.operation, since_ms, is_unsettled=args.unsettled)


def _time_ms(option: str, text: str) -> int:
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            instant = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            instant = datetime.fromisoformat(text)
            instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        return round(instant.timestamp() * 1000)
    except (OverflowError, ValueError):
        raise UsageError(f"{option} {text!r}: {_A_TIME}") from None


def _now_ms() -> int:
    return round(time.time() * 1000)
