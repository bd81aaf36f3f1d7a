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

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_PATH = re.compile(r"`((?:src|lab|tests|bench|docs|fuzz|tools)/[\w./*-]*)`")


def problems() -> Iterator[str]:
    """Everything that the documents say and the tree does not, and the other way round."""
    documents = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
    for document in documents:
        name = document.relative_to(ROOT)
        text = document.read_text(encoding="utf-8")
        for target in _LINK.findall(text):
            if not (document.parent / target).exists():
                yield f"{name}: link to {target}, which is not there"
        for path in _PATH.findall(text):
            if not list(ROOT.glob(path.rstrip("/"))):
                yield f"{name}: names {path}, which is not there"
    everything = "\n".join(document.read_text(encoding="utf-8") for document in documents)
    for command in COMMANDS:
        yield from _undocumented(f"tocsin {command}", everything)
    for check in CHECKS:
        yield from _undocumented(check.id, everything)
    for preset in PRESETS:
        yield from _undocumented(preset, everything)
    if len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) > 80:
        yield "ARCHITECTURE.md: longer than a screen (80 lines)"


def _undocumented(name: str, everything: str) -> Iterator[str]:
    if f"`{name}" not in everything:
        yield f"{name} is nowhere documented (wanted `{name}` in README, ARCHITECTURE or docs/)"


def main() -> int:
    found = list(problems())
    print("\n".join(found) or "docs: nothing wrong")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
