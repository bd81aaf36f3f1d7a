"""Every route of every lab service against expected.toml: full scans, quick ones, and through a jittery relay.

python -m bench.truth [--services NAME,...] [--runs 3] [--quick 10] [--relay 1] [--jobs 1] [--fresh]

Each scan is of a service that has just been started, by the real command line; services and kinds of scans take turns,
so that a slow minute of the machine does not fall on one of them alone. A full scan has to end within 60 s, a quick one
within 10 s, or within what they announce where effects arrive late. Ctrl-C stops after writing what there is, and the
same command goes on from there; --fresh begins anew.

Writes bench/results/truth.json with every wrong verdict; exit code 1 if there is one.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench._host import facts
from bench._records import Record, Records
from lab._launch import Running, start
from lab._scan import scan
from lab._services import LabError, find, titles
from tocsin.scan import CHECKS, Options, plan_from_toml, quick

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "truth.json"
BUILD = ROOT / "build" / "truth"
STOP_S = 5.0
# What a scan may take beyond its budget: its last burst, the reset, and the reports.
_ENDS_S = 2.0
_OUT_OF_TIME = re.compile(r"the budget of [0-9.]+ s is used up|its share of the time ended")


@dataclass(frozen=True, slots=True)
class Kind:
    """A way of scanning: with --quick or without, through the relay or not, and within how many seconds."""

    name: str
    quick: bool
    relayed: bool
    within_s: float


FULL = Kind("full", quick=False, relayed=False, within_s=60.0)
QUICK = Kind("quick", quick=True, relayed=False, within_s=10.0)
RELAYED = Kind("relayed", quick=False, relayed=True, within_s=60.0)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    records = Records(BUILD / "scans.jsonl", fresh=arguments.fresh)
    wanted = list(_turns(arguments))
    missing = [
        (name, kind, number)
        for name, kind, number in wanted
        if not records.has(service=name, kind=kind.name, number=number)
    ]
    with ThreadPoolExecutor(arguments.jobs) as jobs:
        scans = [jobs.submit(one, *turn) for turn in missing]
        try:
            for place, done in enumerate(as_completed(scans), start=len(wanted) - len(missing) + 1):
                records.add(done.result())
                _show(records, place, len(wanted))
        except KeyboardInterrupt:
            jobs.shutdown(wait=False, cancel_futures=True)
            print("\nstopped; the same command goes on from here")
    asked = {(name, kind.name, number) for name, kind, number in wanted}
    kept = [record for record in records if (record["service"], record["kind"], record["number"]) in asked]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told(kept), indent=2) + "\n")
    wrong = sum(bool(record["wrong"]) for record in kept)
    late = sum(bool(record["wrong"]) and only_late(record) for record in kept)
    print(f"{len(kept)} of {len(wanted)} scans, {wrong} not as expected, {late} of them only for want of time", end="")
    print(f"; {RESULTS.relative_to(ROOT)}")
    return 1 if wrong or len(kept) < len(wanted) else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=lambda text: text.split(","), default=titles(), help="default: all")
    parser.add_argument("--runs", type=int, default=3, help="full scans of each (default: 3)")
    parser.add_argument("--quick", type=int, default=10, help="quick scans of each (default: 10)")
    parser.add_argument("--relay", type=int, default=1, help="full scans of each through the relay (default: 1)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="how many scans at once (default: 1); each is the others' load"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the scans of earlier runs")
    arguments = parser.parse_args(argv)
    for name in arguments.services:
        find(name)
    return arguments


def _turns(arguments: argparse.Namespace) -> Iterator[tuple[str, Kind, int]]:
    counts = ((QUICK, arguments.quick), (FULL, arguments.runs), (RELAYED, arguments.relay))
    for number in range(1, max(count for _, count in counts) + 1):
        for kind, count in counts:
            for name in arguments.services:
                if number <= count:
                    yield name, kind, number


def one(name: str, kind: Kind, number: int) -> Record:
    """One scan. A service that cannot run here is skipped by name; a scan without a report is wrong."""
    record: Record = {"service": name, "kind": kind.name, "number": number, "load": round(os.getloadavg()[0], 1)}
    missing = find(name).missing()
    if missing:
        return record | {"seconds": 0.0, "wrong": [], "skipped": missing, "verdicts": {}}
    try:
        with start(name) as running, _through(running, kind) as reached:
            scanned = scan(reached, BUILD / f"{kind.name}-{number:02}", quick=kind.quick)
    except LabError as error:
        return record | {"seconds": 0.0, "wrong": [str(error)], "verdicts": {}}
    wrong = [*scanned.wrong, *_why(scanned.findings, scanned.wrong)]
    within_s = _within_s(kind, running)
    if scanned.seconds > within_s:
        wrong.append(f"it took {scanned.seconds:.1f} s: wanted at most {within_s:g} s")
    return record | {"seconds": round(scanned.seconds, 1), "wrong": wrong, "verdicts": scanned.verdicts()}


def _within_s(kind: Kind, running: Running) -> float:
    """A slow settling makes a scan longer (docs/checks.md, "Time"), and the scan says so before it starts."""
    plan = plan_from_toml(running.service.plan.read_text(), str(running.service.plan))
    if not kind.quick:
        return max(kind.within_s, plan.budget.seconds)
    options = Options(CHECKS, 0, ())
    settles = sum(check.cost.settles for check in CHECKS if not options.missing(check, plan))
    return max(kind.within_s, quick(plan, settles=settles, elapsed_s=0).budget.seconds + _ENDS_S)


def _why(findings: Sequence[Mapping[str, Any]], wrong: Sequence[str]) -> Iterator[str]:
    """What the scan said of each check that is not as expected."""
    at_fault = {said.partition(":")[0].partition(",")[0] for said in wrong}
    for finding in findings:
        if finding["check"] in at_fault:
            yield f"  {finding['check']} said: {finding['evidence']['summary']}"


@contextmanager
def _through(running: Running, kind: Kind) -> Iterator[Running]:
    """The service where it is to be scanned: behind `tocsin lab relay`, or as it is."""
    if not kind.relayed:
        yield running
        return
    command = [sys.executable, "-m", "tocsin", "lab", "relay", str(running.port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as relay:
        try:
            assert relay.stdout is not None
            said = relay.stdout.readline()
            if not said.startswith("http://127.0.0.1:"):
                raise LabError(f"the relay said {said!r}: wanted where it listens")
            yield replace(running, port=int(said.split()[0].rpartition(":")[2]))
        finally:
            relay.terminate()
            with suppress(subprocess.TimeoutExpired):
                relay.wait(STOP_S)
            relay.kill()


def _show(records: Records, place: int, of: int) -> None:
    record = list(records)[-1]
    said = record.get("skipped") and f"skipped: {record['skipped']}"
    said = said or "; ".join(record["wrong"]) or "as expected"
    print(f"{place}/{of} {record['service']}, {record['kind']}: {record['seconds']} s, {said}", flush=True)


def told(records: Sequence[Record]) -> dict[str, object]:
    """For the file of results."""
    return {
        "host": facts(),
        "load": {"least": min((record["load"] for record in records), default=0.0)}
        | {"most": max((record["load"] for record in records), default=0.0)},
        "kinds": {kind.name: _of_kind(records, kind) for kind in (FULL, QUICK, RELAYED)},
        "wrong": [
            {name: record[name] for name in ("service", "kind", "number", "load", "wrong")}
            for record in records
            if record["wrong"]
        ],
        "skipped": sorted({f"{record['service']}: {record['skipped']}" for record in records if "skipped" in record}),
    }


def only_late(record: Record) -> bool:
    """Whether all that is not as expected is what there was no time for: nothing that was said is false."""
    said = [line for line in record["wrong"] if not line.startswith(("  ", "it took "))]
    why = [line for line in record["wrong"] if line.startswith("  ")]
    return all("INCONCLUSIVE, expected" in line for line in said) and all(_OUT_OF_TIME.search(line) for line in why)


def _of_kind(records: Sequence[Record], kind: Kind) -> dict[str, object]:
    own = [record for record in records if record["kind"] == kind.name and "skipped" not in record]
    scans = Counter(record["service"] for record in own)
    right = Counter(record["service"] for record in own if not record["wrong"])
    seconds = sorted(record["seconds"] for record in own)
    return {
        "scans": len(own),
        "as_expected": right.total(),
        "only_for_want_of_time": sum(bool(record["wrong"]) and only_late(record) for record in own),
        "seconds_most": seconds[-1] if seconds else 0.0,
        "services": {name: f"{right[name]} of {count}" for name, count in sorted(scans.items())},
    }


if __name__ == "__main__":
    sys.exit(main())
