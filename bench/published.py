"""Every hole that the published remediations leave and a black box can see, against what a scan says of it.

python -m bench.published [--services NAME,...]

Scans each service once, in full; of those that --services leaves out, earlier rows stay. Writes
bench/results/published.json; exit code 1 if a scan does not show what it has to. A service that is not in this lab, or
that needs what is not here, is named and left out.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench._host import facts
from lab._launch import launch
from lab._published import HOLES, Hole, is_shown
from lab._scan import Scanned, scan
from lab._services import LabError, find, names
from lab._slow_disk import environment

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "published.json"
REPORTS = ROOT / "build" / "published"


def main(argv: Sequence[str] | None = None) -> int:
    """Scan, then hold every row against what was said; 0 if each is shown that has to be."""
    parser = argparse.ArgumentParser(description="what the published remediations leave open, against the scan")
    wanted = list(dict.fromkeys(hole.service for hole in HOLES))
    parser.add_argument("--services", type=lambda text: text.split(","), default=wanted, help="default: all of them")
    services = parser.parse_args(argv).services
    scans: dict[Scene, Scanned] = {}
    left_out = {}
    for scene in dict.fromkeys(scene_of(hole) for hole in HOLES if hole.service in services):
        try:
            scans[scene] = _scanned(scene)
        except LabError as error:
            left_out[scene.title] = str(error)
    found = {hole: row(hole, _finding(scans[scene_of(hole)], hole)) for hole in HOLES if scene_of(hole) in scans}
    kept = _before(besides=services)
    rows = [found.get(hole) or kept[hole.service, hole.what] for hole in HOLES
            if hole in found or (hole.service, hole.what) in kept]  # fmt: skip
    result = {"host": facts(), "rows": rows, "left_out": left_out}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("\n".join(table(rows)))
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    return 0 if all(one["is_shown"] for one in rows) else 1


def _before(*, besides: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of an earlier run about services that are not asked for now."""
    earlier = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else []
    return {(one["service"], one["hole"]): one for one in earlier if one["service"] not in besides}


class Scene(NamedTuple):
    """What is scanned: a service, and the disk that it is on."""

    service: str
    fsync_ms: int
    only: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.service}, {self.fsync_ms} ms a fsync" if self.fsync_ms else self.service


def scene_of(hole: Hole) -> Scene:
    """Where a hole is to be seen. On a slow disk everything takes longer, so only its own check is run there."""
    return Scene(hole.service, hole.fsync_ms, (hole.check,) if hole.fsync_ms else ())


def _scanned(scene: Scene) -> Scanned:
    if scene.service not in names():
        raise LabError("not in this lab")
    slower = environment(scene.fsync_ms) if scene.fsync_ms else {}
    with launch(find(scene.service), environment=slower) as running:
        scanned = scan(running, REPORTS, only=scene.only)
    print(f"{scene.title}: {scanned.seconds:.0f} s", flush=True)
    return scanned


def _finding(scanned: Scanned, hole: Hole) -> Mapping[str, Any]:
    return next(finding for finding in scanned.findings if finding["check"] == hole.check)


def row(hole: Hole, finding: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table: the hole, and what the scan says."""
    shown = is_shown(hole, finding)
    return {
        "measured_at": facts()["measured_at"],
        "remediation": hole.remediation,
        "service": hole.service,
        "hole": hole.what,
        "check": hole.check,
        "verdict": finding["verdict"],
        "severity": finding["severity"],
        "is_shown": shown,
        "fsync_ms": hole.fsync_ms,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a row, in Markdown."""
    lines = ["| | left open | check | the scan says |", "|---|---|---|---|"]
    return lines + [f"| {one['remediation']} | {one['hole']} | `{one['check']}` | {_said(one)} |" for one in rows]


def _said(one: Mapping[str, Any]) -> str:
    verdict = f"{one['verdict']}, {one['severity']}" if one["verdict"] == "VIOLATED" else str(one["verdict"])
    where = f" (on a disk of {one['fsync_ms']} ms a fsync)" if one["fsync_ms"] else ""
    return verdict + where if one["is_shown"] else f"{verdict}{where}; NOT SHOWN"


if __name__ == "__main__":
    sys.exit(main())
