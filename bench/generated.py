"""Scan services that nobody has looked at, and count what the scan says of each check: recall and precision.

python -m bench.generated [--services 30] [--first SEED] [--quick] [--no-verify] [--again]

Each service comes from a seed of its own (lab/generated), by default from the clock, so that no seed was used before.
Its truth comes from how it was made; a brute force confirms it first, and what it refutes is told apart. A run that was
interrupted goes on where it ended, from build/generated; --again begins a new one. Writes bench/results/generated.json;
exit code 1 on any wrong verdict.
"""

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from bench._host import facts
from lab._expected import EITHER, truths
from lab._launch import launch
from lab._scan import scan
from lab._services import LabError, Service
from lab._verify import verified_generated
from lab.generated import generate

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
STATE = ROOT / "build" / "generated"
_VIOLATED = "VIOLATED"


def main(argv: Sequence[str] | None = None) -> int:
    """Scan what is not scanned yet, then count; 0 if every verdict was right."""
    arguments = parse(argv)
    if arguments.again:
        shutil.rmtree(STATE, ignore_errors=True)
    run = _begun(arguments)
    seeds = range(run["first"], run["first"] + run["services"])
    try:
        for place, seed in enumerate(seeds, start=1):
            done = _record(seed)
            if not done.exists():
                done.write_text(json.dumps(one(seed, quick=run["quick"], verifies=run["verify"]), indent=1) + "\n")
            _tell(place, len(seeds), json.loads(done.read_text()))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    records = [json.loads(_record(seed).read_text()) for seed in seeds]
    result = {"host": facts(), "quick": run["quick"], **counted(records)}
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / ("generated-quick.json" if run["quick"] else "generated.json")
    target.write_text(json.dumps(result, indent=1) + "\n")
    # The next run is another one, with seeds of its own; what this one saw stays to be looked at.
    (STATE / "run.json").rename(STATE / "finished.json")
    print("\n".join(["", *table(result["checks"]), "", *_wrong(result), f"written: {target.relative_to(ROOT)}"]))
    return 1 if result["wrong"] or result["truths_refuted"] else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="scan services that nobody has looked at")
    parser.add_argument("--services", type=int, default=30, help="how many (default: 30)")
    parser.add_argument("--first", type=int, help="their first seed; default: from the clock")
    parser.add_argument("--quick", action="store_true", help="pass --quick to the scans")
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="leave the brute force out")
    parser.add_argument("--again", action="store_true", help="forget what an earlier run has done")
    return parser.parse_args(argv)


def _begun(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the run does: as an interrupted one began it, else as asked for."""
    STATE.mkdir(parents=True, exist_ok=True)
    file = STATE / "run.json"
    if not file.exists():
        first = int(time.time()) if arguments.first is None else arguments.first
        asked = {"first": first, "services": arguments.services, "quick": arguments.quick, "verify": arguments.verify}
        for seed in range(first, first + arguments.services):
            _record(seed).unlink(missing_ok=True)
        file.write_text(json.dumps(asked) + "\n")
    run: dict[str, Any] = json.loads(file.read_text())
    if arguments.first not in {None, run["first"]} or arguments.quick != run["quick"]:
        raise SystemExit(f"another run is in {STATE.relative_to(ROOT)}: {run}; wanted the same one, or --again")
    run["services"] = max(run["services"], arguments.services)
    return run


def _record(seed: int) -> Path:
    return STATE / f"{seed}.json"


def one(seed: int, *, quick: bool, verifies: bool) -> dict[str, Any]:
    """One service: generated, confirmed, started anew, scanned."""
    service = generate(seed, STATE / f"service-{seed}")
    expected = {
        check: {"verdict": truth.verdict, "severity": truth.severity} for check, truth in truths(service).items()
    }
    record: dict[str, Any] = {"seed": seed, "is": service.description, "expected": expected, "skipped": "", "found": {}}
    if missing := service.missing():
        return record | {"skipped": f"needs {missing}", "wrong": [], "refuted": []}
    try:
        refuted = _refuted(service) if verifies else []
        with launch(service) as running:
            scanned = scan(running, STATE / "reports", quick=quick)
    except LabError as error:
        # An error of the scanner ends with what went wrong; what it printed before is in the reports, if anywhere.
        last = " | ".join(str(error).strip().splitlines()[-2:])
        return record | {"refuted": [], "wrong": [f"no report: {last}"]}
    found = {
        finding["check"]: {
            "verdict": finding["verdict"],
            "severity": finding["severity"] or "none",
            "summary": finding["evidence"]["summary"],
        }
        for finding in scanned.findings
    }
    return record | {
        "seconds": round(scanned.seconds, 1), "found": found, "wrong": list(scanned.wrong), "refuted": refuted
    }  # fmt: skip


def _refuted(service: Service) -> list[str]:
    """What the brute force saw otherwise than expected.toml says."""
    return [
        f"{seen.check}: expected {seen.expected}, seen {seen.seen}"
        for seen in verified_generated(service)
        if not seen.is_right
    ]


def _tell(place: int, of: int, record: Mapping[str, Any]) -> None:
    said = record["skipped"] or "; ".join([*record["refuted"], *record["wrong"]]) or "as expected"
    seconds = f", {record['seconds']:.0f} s" if "seconds" in record else ""
    print(f"{place} of {of}: seed {record['seed']}, {record['is']}{seconds}: {said}", flush=True)


def counted(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Per check how often it was right, and every wrong verdict with its seed.

    A truth that is `either`, or that the brute force refutes, counts for nobody. INCONCLUSIVE is wrong.
    """
    asked = [record for record in records if not record["skipped"]]
    checks = sorted({check for record in asked for check in record["expected"]})
    return {
        "services": len(asked),
        "seeds": [record["seed"] for record in asked],
        "skipped": [f"seed {record['seed']} {record['skipped']}" for record in records if record["skipped"]],
        "as_expected": sum(not record["wrong"] for record in asked),
        "seconds": [record.get("seconds", 0.0) for record in asked],
        "checks": {check: _of_check(check, asked) for check in checks},
        "wrong": [f"seed {record['seed']} ({record['is']}): {said}" for record in asked for said in record["wrong"]],
        "truths_refuted": [f"seed {record['seed']}: {said}" for record in asked for said in record["refuted"]],
    }


def _of_check(check: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    pairs = []
    for record in records:
        refuted = any(said.startswith(f"{check}:") for said in record["refuted"])
        truth = record["expected"][check]["verdict"]
        if truth != EITHER and not refuted:
            pairs.append((truth, record["found"].get(check, {}).get("verdict", "missing")))
    violated = [got for truth, got in pairs if truth == _VIOLATED]
    said = [truth for truth, got in pairs if got == _VIOLATED]
    clean = [got for truth, got in pairs if truth == "NOT_OBSERVED"]
    return {
        "judged": len(pairs),
        "recall": share(violated.count(_VIOLATED), len(violated)),
        "precision": share(said.count(_VIOLATED), len(said)),
        "clean_said_clean": share(clean.count("NOT_OBSERVED"), len(clean)),
        "not_applicable": sum(truth == "NOT_APPLICABLE" for truth, _ in pairs),
    }


def share(right: int, of: int) -> dict[str, float | int | None]:
    """A share with its 95 % interval (Wilson's score interval; E. B. Wilson, JASA 22, 1927)."""
    if not of:
        return {"right": 0, "of": 0, "low": None, "high": None}
    z = NormalDist().inv_cdf(0.975)
    middle = (right + z * z / 2) / (of + z * z)
    half = z / (of + z * z) * math.sqrt(right * (of - right) / of + z * z / 4)
    return {
        "right": right,
        "of": of,
        "low": round(max(0.0, middle - half), 3),
        "high": round(min(1.0, middle + half), 3),
    }


def table(checks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a check."""
    head = f"{'check':28}{'recall':>22}{'precision':>22}{'clean said clean':>22}"
    return [
        head,
        *(f"{check:28}" + "".join(f"{_said(of[name]):>22}" for name in _COLUMNS) for check, of in checks.items()),
    ]


_COLUMNS = ("recall", "precision", "clean_said_clean")


def _said(found: Mapping[str, Any]) -> str:
    if not found["of"]:
        return "-"
    return f"{found['right']}/{found['of']} ({found['low']:.2f} to {found['high']:.2f})"


def _wrong(result: Mapping[str, Any]) -> list[str]:
    lines = [f"{result['services']} services, {result['as_expected']} of them exactly as expected."]
    lines += [f"WRONG: {said}" for said in result["wrong"]]
    lines += [f"TRUTH REFUTED BY BRUTE FORCE: {said}" for said in result["truths_refuted"]]
    return lines + [f"skipped: {said}" for said in result["skipped"]]


if __name__ == "__main__":
    sys.exit(main())
