"""A race found, explained, fixed and gone: scan a vulnerable service and its guarded twin. `make demo` runs this.

Exit code 0 if both scans say what expected.toml says, 1 if not, 2 if they could not be made, 130 on Ctrl-C.
"""

import contextlib
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab._launch import Running, is_free, start
from lab._scan import Scanned, scan
from lab._services import LAB, LabError, find
from tocsin.cli.lab import program

VULNERABLE, GUARDED = "flask-vulnerable", "flask-guarded"
RACES = ("concurrent-duplicate", "over-allocation")
REPORTS = LAB.parent / "build" / "demo"
COLUMNS = 80


def main() -> int:
    """Run both scans, then say what they have shown."""
    try:
        before = scanned(VULNERABLE, "1. A service that verifies, looks, then writes")
        after = scanned(GUARDED, "2. The same service behind tocsin.guard")
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demo: interrupted; both services are stopped", file=sys.stderr)
        return 130
    print("\n".join(["", *summary(before, after)]))
    return 1 if before.wrong or after.wrong else 0


def scanned(name: str, heading: str) -> Scanned:
    """Start a service, scan it with the output on our own, stop it."""
    with started(name) as running:
        print(f"\n{heading}\n   {name} on {running.base_url}\n")
        return scan(running, REPORTS, shows=True)


@contextlib.contextmanager
def started(name: str) -> Iterator[Running]:
    """On the port that its plan names, so that the rerun commands hold, unless somebody else is there."""
    port = find(name).port
    with start(name, port=port if is_free(port) else 0) as running:
        yield running


def summary(before: Scanned, after: Scanned) -> Iterator[str]:
    """What both scans have shown, line by line, in 80 columns."""
    yield f"What this has shown, in {before.seconds + after.seconds:.0f} s of scanning"
    yield ""
    found = {finding["check"]: finding for finding in before.findings}
    for check in RACES:
        yield from wrapped(race(check, found.get(check)), "  ")
    yield ""
    yield from how_to_fix(found.get(RACES[0], {}))
    yield ""
    yield f"  {GUARDED}, the same orders behind that call:"
    for finding in after.findings:
        yield from wrapped(f"{finding['check']}: {bound(finding)}", "    ")
    yield ""
    yield "  The whole argument, with a timeline of the decisive bursts:"
    for one in (before, after):
        yield f"    {relative(one.html)}"
    for one in (before, after):
        for sentence in one.wrong:
            yield from wrapped(f"NOT AS EXPECTED: {one.service}: {sentence}", "  ")


def race(check: str, finding: Mapping[str, Any] | None) -> str:
    """One race; the summary has the counts that were read from the service's state."""
    if finding is None:
        return f"{VULNERABLE}, {check}: no finding"
    return f"{VULNERABLE}, {check}: {finding['verdict']}. {finding['evidence']['summary']}"


def how_to_fix(finding: Mapping[str, Any]) -> Iterator[str]:
    """How to see it again, and the guard call that closes it."""
    if finding.get("reproducer"):
        # Commands are not wrapped: they are for copying.
        yield "  See it again, in two terminals. The first command prints the LAB_SECRET=..."
        yield "  that goes in front of the second:"
        yield f"    {program()} lab run {VULNERABLE}"
        yield f"    {program()} {finding['reproducer']['command'].removeprefix('tocsin ')}"
        yield ""
    if finding.get("remedy"):
        yield from wrapped(f"The fix: {finding['remedy']['text']}", "  ")
        yield textwrap.indent(finding["remedy"]["guard_call"].rstrip(), "    ")


def bound(finding: Mapping[str, Any]) -> str:
    """The verdict and what it is worth."""
    return f"{finding['verdict']}, {finding['bound']['text']}" if finding["bound"] else str(finding["verdict"])


def wrapped(text: str, indent: str) -> list[str]:
    """The text in lines of 80 columns, all but the first indented further."""
    return textwrap.wrap(text, COLUMNS, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def relative(path: Path) -> str:
    """The path from where the user is."""
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
