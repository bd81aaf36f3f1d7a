"""Checks that the prose is true where a machine can tell: paths, links, names, commands, checks and presets that exist.

python -m tools.check_docs
"""

import ast
import builtins
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tocsin.cli import COMMANDS
from tocsin.scan import CHECKS
from tocsin.signing import PRESETS
from tools.quotes import applied

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
# What the reader of a page has already: the application and its own names. Everything else a page imports.
_READERS = {"__file__", "app", "framework", "get_db", "keys", "scheme", "send_receipt"}
_READERS |= {"Item", "Order", "OrderIn", "OrderOut", "Refund", "RefundIn", "RefundSerializer", "Session", "Shipment"}
_PATH = re.compile(r"`((?:src|lab|tests|bench|docs|fuzz|tools)/[\w./*-]*)`")


def problems() -> Iterator[str]:
    """Everything that the documents say and the tree does not, and the other way round."""
    documents = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for document in documents:
        yield from _dangling(document)
    everything = "\n".join(document.read_text(encoding="utf-8") for document in documents)
    for name in (*(f"tocsin {command}" for command in COMMANDS), *(check.id for check in CHECKS), *PRESETS):
        yield from _undocumented(name, everything)
    for page in (*ROOT.glob("docs/guard*.md"), *ROOT.glob("docs/guides/*.md"), ROOT / "docs" / "outbox.md"):
        yield from _unnamed(page)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if readme != applied(readme):
        yield "README.md quotes numbers that bench/results does not hold: python -m tools.quotes --write"
    if len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) > 80:
        yield "ARCHITECTURE.md: longer than a screen (80 lines)"


def _dangling(document: Path) -> Iterator[str]:
    name = document.relative_to(ROOT)
    text = document.read_text(encoding="utf-8")
    for target in _LINK.findall(text):
        if not (document.parent / target).exists():
            yield f"{name}: link to {target}, which is not there"
    for path in _PATH.findall(text):
        if not list(ROOT.glob(path.rstrip("/"))):
            yield f"{name}: names {path}, which is not there"


def _unnamed(page: Path) -> Iterator[str]:
    """Names that a page's Python uses before it has said where they come from: pasted, it would not run."""
    known = set(dir(builtins)) | _READERS
    for block in _PYTHON.findall(page.read_text(encoding="utf-8")):
        nodes = list(ast.walk(ast.parse(block)))
        known |= {name for node in nodes for name in _bound(node)}
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        for name in sorted(used - known):
            yield f"{page.relative_to(ROOT)}: uses {name}, and no import on the page says where it comes from"


def _bound(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0]


def _undocumented(name: str, everything: str) -> Iterator[str]:
    if not re.search(rf"(?:`|^){re.escape(name)}\b", everything, re.MULTILINE):
        yield f"{name} is nowhere documented (wanted it as code in README, ARCHITECTURE or docs/)"


def main() -> int:
    found = list(problems())
    print("\n".join(found) or "docs: nothing wrong")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
