"""What `tocsin plan check` says of a plan, and where in the file an error is."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from tocsin.cli._errors import Unfinished, UsageError
from tocsin.cli._foreign import read_file

if TYPE_CHECKING:
    from tocsin.scan import Plan

_COLUMNS = 80
_TODO = re.compile(r"#.*?\bTODO\b:?\s*(.*)")
_VALUE_TODO = re.compile(r"[\"']TODO")
_PLACED = re.compile(r"\[+(?P<section>[a-z]+)\]+(?: (?P<number>[0-9]+))?(?: (?P<key>\w+))?")
_NAMED = re.compile(r"unknown key \"(?P<key>[^\"]+)\"")
_AT_LINE = re.compile(r"\(at line ([0-9]+)")


def todos(text: str) -> list[tuple[int, str]]:
    """Each line of a plan that still asks something, with its number."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        asked = _TODO.search(line)
        if asked and not line.startswith(_ABOUT):
            found.append((number, asked[1]))
        elif _VALUE_TODO.search(line):
            found.append((number, "a value is to be filled in"))
    return found


# How the head of a new plan speaks of such lines.
_ABOUT = "# Every line with TODO"


def placed(error: object, text: str, path: str, base_url: str | None = None) -> str:
    """An error of a plan, with the file and the line where it can be found.

    Args:
        error: its message names the table, and mostly the key.
        text: of the plan.
        path: of the plan.
        base_url: of the command line, in place of the plan's.
    """
    message = str(error)
    if base_url is not None and message.startswith("base_url "):
        return f"--base-url {message.removeprefix('base_url ')}"
    line = _line_of(message, text.splitlines())
    return f"{path}:{line}: {message}" if line else f"{path}: {message}"


def _line_of(message: str, lines: list[str]) -> int:
    """The line that a message is about, counted from 1; 0 where it cannot be told."""
    at = _AT_LINE.search(message)
    if at:
        return int(at[1])
    named, where = _NAMED.search(message), _PLACED.match(message)
    key = named["key"] if named else (where["key"] if where else "base_url" if message.startswith("base_url") else None)
    begin, end = 0, len(lines)
    if where:
        begin, end = _block(lines, where["section"], int(where["number"] or 1))
    if key:
        spelled = re.compile(rf"\s*(\[+)?[\"']?{re.escape(key)}[\"']?\s*(=|\.|\])")
        found = next((number for number in range(begin, end) if spelled.match(lines[number])), None)
        if found is not None:
            return found + 1
    return begin + 1 if where and end > begin else 0


def _block(lines: list[str], section: str, number: int) -> tuple[int, int]:
    """The lines of the table `section`, the `number`th one of its name, its sub-tables included."""
    header = re.compile(rf"\s*\[+\s*{section}\s*\]")
    begins = [place for place, line in enumerate(lines) if header.match(line)]
    if len(begins) < number:
        return 0, 0
    begin = begins[number - 1]
    other = re.compile(rf"\s*\[+\s*(?!{section}\.)[a-z\"']")
    end = next((place for place in range(begin + 1, len(lines)) if other.match(lines[place])), len(lines))
    return begin, end


def told(plan: "Plan", folder: Path) -> Iterator[str]:
    """What the plan's own words do not show at once."""
    from tocsin.scan import example, fresh_variables, permissions  # noqa: PLC0415  the scan extra

    shown = example(plan)
    if shown:
        yield "One of them, as it would be sent now"
        yield from (f"  {line}".rstrip() for line in shown)
        yield ""
    yield "Variables"
    yield from (f"  {line}" for line in fresh_variables(plan) or ("none",))
    if shown:
        yield ""
        yield "Secrets"
        yield from (f"  {_secret(table, folder)}" for table in (plan.signing, *plan.actors))
    yield ""
    yield "Permission that a scan wants on its command line"
    for line in permissions(plan) or ("none",):
        yield from wrap(line, _COLUMNS, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _secret(table: Mapping[str, object], folder: Path) -> str:
    """Where a secret comes from, and whether it is there."""
    source = table.get("secret")
    match source:
        case {"env": str() as name}:
            return f"environment variable {name}" + ("" if os.environ.get(name) else ", which is not set here")
        case {"file": str() as name}:
            return f"file {name}" + ("" if (folder / name).is_file() else ", which is not there")
        case _:
            return "in the plan itself, which only a scan of this machine may use"


def probed(plan: "Plan", authorized_for: list[str], folder: Path) -> Iterator[tuple[str, bool]]:
    """What the oracles read while nothing is sent, and whether each could be read.

    Raises:
        UsageError: a host is not allowed, or a signed read lacks its secret.
        Unfinished: the service could not be reached.
    """
    from tocsin import scan as scanner  # noqa: PLC0415  the scan extra
    from tocsin.signing import SchemeError  # noqa: PLC0415  only here
    from tocsin.wire import DeliveryError  # noqa: PLC0415  the scan extra

    try:
        # Nothing is changed and no oracle but the service is asked, so there is no permission for these to ask.
        scanner.authorise(plan, authorized_for, accept_effects=1, allow_oracle=["sql", "command", "file"])
        secret = scanner.probing_secret(plan, folder)
        for one in scanner.probe(plan, secret, scanner.addresses(plan, folder=folder)):
            yield one.text, one.is_told
    except (scanner.RailError, SchemeError) as error:
        raise UsageError(str(error)) from None
    except DeliveryError as error:
        raise Unfinished(f"nothing to read: {error}") from None


def read_plan(path: str, base_url: str | None) -> tuple["Plan", str]:
    """The plan of a file, understood whole and rehearsed, and its text.

    Raises:
        UsageError: it cannot be read, or is no plan; with the line where it can be told.
    """
    from tocsin.scan import PlanError, beside, plan_from_toml, rehearse  # noqa: PLC0415  the scan extra

    try:
        text = read_file(Path(path), path).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8, as TOML is") from None
    try:
        plan = plan_from_toml(text, path, base_url=base_url, files=beside(Path(path).parent))
        rehearse(plan)
    except PlanError as error:
        raise UsageError(placed(error, text, path, base_url)) from None
    return plan, text
