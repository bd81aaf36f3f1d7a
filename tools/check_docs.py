"""Checks that the prose is true where a machine can tell: paths, links, commands, checks and presets that exist.

python -m tools.check_docs
"""

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
_PATH = re.compile(r"`((?:src|lab|tests|bench|docs|fuzz|tools)/[\w./*-]*)`")


def problems() -> Iterator[str]:
    """Everything that the documents say and the tree does not, and the other way round."""
    documents = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for document in documents:
        yield from _dangling(document)
    everything = "\n".join(document.read_text(encoding="utf-8") for document in documents)
    for name in (*(f"tocsin {command}" for command in COMMANDS), *(check.id for check in CHECKS), *PRESETS):
        yield from _undocumented(name, everything)
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


def _undocumented(name: str, everything: str) -> Iterator[str]:
    if not re.search(rf"(?:`|^){re.escape(name)}\b", everything, re.MULTILINE):
        yield f"{name} is nowhere documented (wanted it as code in README, ARCHITECTURE or docs/)"


def main() -> int:
    found = list(problems())
    print("\n".join(found) or "docs: nothing wrong")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
