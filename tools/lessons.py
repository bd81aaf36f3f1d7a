"""Fills the marked blocks of docs/lessons from real scans and from the services' own source.

python -m tools.lessons --write [PAGE ...]   scans every service that a page names, and writes what was said
python -m tools.lessons --sources            without scanning: writes the blocks that quote source or results
python -m tools.lessons --check              without scanning: sources as they are, verdicts as expected.toml has them

A block begins with <!-- scan: SERVICE CHECK --> or <!-- source: PATH FUNCTION -->, or <!-- holes: F --> for the rows of
bench/results/published.json, and ends with <!-- end -->.
"""

import argparse
import ast
import json
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import published
from lab._expected import truths
from lab._launch import start
from lab._scan import scan
from lab._services import LabError, find

ROOT = Path(__file__).parents[1]
LESSONS = ROOT / "docs" / "lessons"
COLUMNS = 110
_BLOCK = re.compile(r"(<!-- (scan|source|holes): ([^\n]*?) -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)
_OPENED = re.compile(r"<!-- (?:scan|source|holes): ")

Findings = Mapping[str, Mapping[str, Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check; 0 if all is well."""
    parser = argparse.ArgumentParser(description="fill the marked blocks of docs/lessons")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="scan the services that are named, and write what was said")
    what.add_argument("--sources", action="store_true", help="write what needs no scan")
    what.add_argument("--check", action="store_true", help="hold the pages against source and expected.toml")
    parser.add_argument("pages", nargs="*", type=Path, help="default: every page of docs/lessons")
    arguments = parser.parse_args(argv)
    pages = arguments.pages or sorted(LESSONS.glob("*.md"))
    if arguments.check:
        found = [problem for page in pages for problem in problems(page)]
        print("\n".join(found) or "lessons: nothing wrong")
        return bool(found)
    try:
        write(pages, scans=arguments.write)
    except LabError as error:
        print(f"lessons: {error}", file=sys.stderr)
        return 2
    return 0


def write(pages: Sequence[Path], *, scans: bool) -> None:
    """Fill every block, page by page; a service is scanned once, however many blocks quote it.

    Args:
        pages: their files.
        scans: False leaves the blocks that quote a scan as they are.

    Raises:
        LabError: a service cannot be started or scanned, or a scan did not say what expected.toml says.
    """
    findings: dict[str, Findings] = {}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        services = {words.split()[0] for kind, words in _blocks(text) if kind == "scan" and scans}
        findings |= {name: scanned(name) for name in sorted(services - findings.keys())}
        page.write_text(filled(text, findings), encoding="utf-8")


def scanned(name: str, only: Sequence[str] = ()) -> Findings:
    """The findings of a scan of a service, by check."""
    with tempfile.TemporaryDirectory() as reports, start(name) as running:
        found = scan(running, Path(reports), only=only)
    print(f"{name}: {found.seconds:.0f} s, {'; '.join(found.wrong) or 'as expected'}", flush=True)
    if found.wrong:
        raise LabError(f"a lesson quotes scans that say what is true; {name}: {'; '.join(found.wrong)}")
    return {finding["check"]: finding for finding in found.findings}


def filled(text: str, findings: Mapping[str, Findings]) -> str:
    """A page with every block written anew, but for scans of services that were not scanned."""

    def block(found: re.Match[str]) -> str:
        if found[2] == "scan" and found[3].split()[0] not in findings:
            return found[0]
        return f"{found[1]}{_WRITERS[found[2]](found[3].split(), findings)}{found[5]}"

    return _BLOCK.sub(block, text)


def problems(page: Path) -> Iterator[str]:
    """What of a page is not so; nothing is scanned."""
    text, name = page.read_text(encoding="utf-8"), page.name
    if len(_BLOCK.findall(text)) != len(_OPENED.findall(text)):
        yield f"{name}: a block has no <!-- end -->"
    for found in _BLOCK.finditer(text):
        kind, words, said = found[2], found[3].split(), found[4]
        try:
            if kind == "scan":
                yield from _unlike_truth(name, words, said)
            elif said != _WRITERS[kind](words, {}):
                yield f"{name}: <!-- {kind}: {found[3]} --> is out of date: python -m tools.lessons --sources"
        except LabError as error:
            yield f"{name}: {error}"


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    for found in _BLOCK.finditer(text):
        yield found[2], found[3]


def _unlike_truth(name: str, words: Sequence[str], said: str) -> Iterator[str]:
    """A quoted verdict has to be the one that expected.toml has."""
    service, check = words
    told = truths(find(service))
    if check not in told:
        yield f"{name}: {service} has no truth about {check!r}; wanted one of {', '.join(told)}"
    elif not said.startswith(f"```text\n{_head(check, told[check].verdict, told[check].severity)}\n"):
        yield f"{name}: the scan of {service} that it quotes does not say {check} {told[check]}, as expected.toml does"


def _head(check: str, verdict: str, severity: str) -> str:
    return f"{check}  {verdict}" + (f", {severity}" if severity != "none" else "")


def of_scan(words: Sequence[str], findings: Mapping[str, Findings]) -> str:
    """What a scan said of one check: verdict, evidence, remedy."""
    service, check = words
    finding = findings[service][check]
    lines = [_head(check, finding["verdict"], finding["severity"] or "none")]
    lines += textwrap.wrap(finding["evidence"]["summary"], COLUMNS, break_on_hyphens=False)
    if finding["remedy"]:
        lines += textwrap.wrap(f"Remedy: {finding['remedy']['text']}", COLUMNS, break_on_hyphens=False)
    return "\n".join(["```text", *lines, "```"])


def of_source(words: Sequence[str], _findings: Mapping[str, Findings]) -> str:
    """A function of a service, in Python with its decorators, in Rust as rustfmt leaves it.

    Raises:
        LabError: no such file or function.
    """
    path, wanted = words
    file = ROOT / path
    if not file.is_file():
        raise LabError(f"<!-- source: {path} --> is not there")
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".rs":
        found = re.search(rf"^(?:pub )?(?:async )?fn {re.escape(wanted)}\b.*?^}}$", text, re.DOTALL | re.MULTILINE)
        if found is None:
            raise LabError(f"{path} has no function {wanted}")
        return f"```rust\n{found[0]}\n```"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == wanted:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = text.splitlines()[first - 1 : node.end_lineno]
            return "\n".join(["```python", *lines, "```"])
    raise LabError(f"{path} has no function {wanted}")


def of_holes(words: Sequence[str], _findings: Mapping[str, Findings]) -> str:
    """The rows of a remediation, as bench.published has found them."""
    rows = json.loads(published.RESULT.read_text())["rows"]
    return "\n".join(published.table([one for one in rows if one["remediation"] in words]))


_WRITERS: Mapping[str, Callable[[Sequence[str], Mapping[str, Findings]], str]] = {
    "scan": of_scan,
    "source": of_source,
    "holes": of_holes,
}


if __name__ == "__main__":
    sys.exit(main())
