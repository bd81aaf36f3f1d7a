"""Writes the table of presets in docs/signing.md from the presets themselves, or says that it is out of date.

python -m tools.signing_docs [--check]
"""

import re
import sys
from pathlib import Path

from tocsin.signing import PRESETS, Scheme

PAGE = Path(__file__).parents[1] / "docs" / "signing.md"
_BEGIN = "<!-- presets: written by tools/signing_docs.py -->"
_END = "<!-- end of presets -->"
_HEAD = "| Preset | Signature | Covered | Message id | Window | Sent again for | Not covered | Source | Not confirmed |"
_URL = re.compile(r"https://[^\s,]+")
_HOUR_S = 3_600


def table() -> str:
    """A line a preset, in the order of their names."""
    rule = "|".join(["", *(["---"] * (_HEAD.count("|") - 1)), ""])
    return "\n".join([_HEAD, rule, *(_row(PRESETS[name]) for name in sorted(PRESETS))])


def _row(scheme: Scheme) -> str:
    cells = (
        f"`{scheme.name}`",
        f"{scheme.signature_place}, {scheme.hash}, {scheme.encoding}",
        _covered(scheme),
        str(scheme.message_id) if scheme.message_id is not None else "none",
        _window(scheme),
        _horizon(scheme),
        scheme.not_covered,
        _URL.sub(lambda found: f"[{_host(found[0])}]({found[0]})", scheme.source),
        scheme.unconfirmed or "all confirmed",
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _covered(scheme: Scheme) -> str:
    names = [name.rpartition("/")[2] if "field:" in name else name for name in scheme.covered_components]
    names += ["timestamp"] if scheme.timestamp_pointer and "timestamp" not in names else []
    return ", ".join(names) + ("; needs the public origin" if scheme.needs_public_origin else "")


def _window(scheme: Scheme) -> str:
    if not scheme.covers("timestamp"):
        return "none: no time is signed"
    return f"{scheme.tolerance_past_s:g} s past, {scheme.tolerance_future_s:g} s future"


def _horizon(scheme: Scheme) -> str:
    return "unknown" if scheme.retry_horizon_s is None else f"{scheme.retry_horizon_s / _HOUR_S:g} h"


def _host(url: str) -> str:
    return url.split("/")[2]


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(_BEGIN)
    _old, end, after = rest.partition(_END)
    if not begin or not end:
        sys.exit(f"{PAGE}: wanted the lines {_BEGIN} and {_END}")
    written = f"{before}{_BEGIN}\n\n{table()}\n\n{_END}{after}"
    if "--check" in sys.argv[1:]:
        if written != page:
            print(f"{PAGE.name} is out of date; wanted: python -m tools.signing_docs")
        return written != page
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
