"""Scan every lab service again and again: each scan must print exactly its expected.toml.

python -m bench.stability [--rounds 10] [--quick] [--services NAME,...]

The services take turns, so that a slow minute of the machine does not fall on one of them alone. Writes
bench/results/stability.json; exit code 1 on any mismatch.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench._host import facts
from lab._launch import start
from lab._scan import Scanned, scan
from lab._services import LabError, find, names

RESULTS = Path(__file__).parent / "results"
REPORTS = Path(__file__).parents[1] / "build" / "stability"


def main(argv: Sequence[str] | None = None) -> int:
    """Scan `--rounds` times; 0 if every scan said the truth."""
    arguments = parse(argv)
    scans = [
        one_scan(name, number, quick=arguments.quick)
        for number in range(1, arguments.rounds + 1)
        for name in arguments.services
    ]
    RESULTS.mkdir(exist_ok=True)
    result = {
        "host": facts(),
        "rounds": arguments.rounds,
        "quick": arguments.quick,
        "services": {name: of_service(name, scans) for name in arguments.services},
    }
    target = RESULTS / ("stability-quick.json" if arguments.quick else "stability.json")
    target.write_text(json.dumps(result, indent=2) + "\n")
    wrong = sum(bool(scanned.wrong) for scanned in scans)
    print(f"{len(scans)} scans, {wrong} of them not as expected; {target.relative_to(Path(__file__).parents[1])}")
    return 1 if wrong else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="scan every lab service again and again")
    parser.add_argument("--rounds", type=int, default=10, help="scans of each service (default: 10)")
    parser.add_argument("--quick", action="store_true", help="pass --quick to the scan")
    parser.add_argument("--services", type=lambda text: text.split(","), default=names(), help="default: all")
    arguments = parser.parse_args(argv)
    for name in arguments.services:
        find(name)
    return arguments


def one_scan(name: str, number: int, *, quick: bool) -> Scanned:
    """One scan of a service that has just been started, told in a line. One that ends without a report is wrong too."""
    try:
        with start(name) as running:
            scanned = scan(running, REPORTS / f"{number:02}", quick=quick)
    except LabError as error:
        scanned = Scanned(name, 0.0, (), Path(), (str(error),))
    said = "; ".join(scanned.wrong) or "as expected"
    print(f"round {number}: {name}: {scanned.seconds:.1f} s, {said}", flush=True)
    return scanned


def of_service(name: str, scans: Sequence[Scanned]) -> dict[str, object]:
    """What the scans of one service said, together."""
    own = [scanned for scanned in scans if scanned.service == name]
    checks = sorted({check for scanned in own for check in scanned.verdicts()})
    return {
        "scans": len(own),
        "as_expected": sum(not scanned.wrong for scanned in own),
        "seconds": [round(scanned.seconds, 1) for scanned in own],
        "verdicts": {check: counted([scanned.verdicts().get(check, "missing") for scanned in own]) for check in checks},
        "mismatches": [list(scanned.wrong) for scanned in own if scanned.wrong],
    }


def counted(verdicts: Sequence[str]) -> dict[str, int]:
    """How often each verdict was given."""
    return {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}


if __name__ == "__main__":
    sys.exit(main())
