"""What does the guard cost a service? Each store and each adapter, guarded beside bare, over HTTP, at 64 clients.

python -m bench.costs [--rounds 3] [--seconds 2] [--clients 64] [--quick] [--only TEXT ...] [--profile TEXT]

`bare` is the same handler on the same framework, server and database, with the same durability, which writes its order
in a transaction of its own: no signature, no claim, no stored answer. In memory that transaction is one assignment
under a lock, in Redis one SET. Every request is a signed order with an id of its own, and claims are kept.

For each row both forms run, each on a database of its own; in every round each is under load once, in random order, and
ratios are taken within a round. A row whose median is below 0.6 is profiled afterwards. `others` is what programs of
somebody else took of the processors meanwhile. Writes bench/results/costs.json; exit code 1 if a guarded service
answered anything but 2xx.
"""

import argparse
import json
import logging
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from bench._host import facts
from bench._rounds import ratio
from bench._wrk import Orders
from bench._wrk import missing as no_wrk
from bench.costs.loading import FORMS, Loaded, prepared, started
from bench.costs.places import Places, missing
from bench.costs.profiling import Profiler, printed
from bench.costs.rows import ROWS, Row
from lab._services import LabError

RESULTS = Path(__file__).parents[1] / "results" / "costs.json"
MUST = 0.6
_DIGITS = {"good_per_s": 0, "p99_ms": 1, "service_us": 1, "database_us": 1, "others": 3}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each load, whole ones")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="one round of 1 s, to see that it runs; not written")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="rows whose name has it; not written")
    parser.add_argument("--profile", metavar="TEXT", help="measure and profile the rows whose name has it; not written")
    arguments = parser.parse_args(argv)
    if why := no_wrk() or missing():
        print(f"bench.costs: skipped: {why}")
        return 0
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 1
    wanted = [arguments.profile] if arguments.profile else arguments.only
    rows = [row for row in ROWS if not wanted or any(text in row.name for text in wanted)]
    if not rows:
        parser.error(f"{wanted}: wanted a part of one of {'; '.join(row.name for row in ROWS)}")
    logging.disable(logging.CRITICAL)
    result = measure(rows, arguments.rounds, arguments.seconds, arguments.clients, profiles_all=bool(arguments.profile))
    if not wanted and not arguments.quick:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    _print(result)
    return 1 if any(row["guarded"]["bad"] for row in result["rows"].values()) else 0


def measure(rows: Sequence[Row], rounds: int, seconds: int, clients: int, *, profiles_all: bool) -> dict[str, Any]:
    """Measure these rows, and profile those that are slow."""
    found: dict[str, dict[str, Any]] = {}
    profiles: dict[str, dict[str, Any]] = {}
    not_run: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="tocsin-costs-") as folder:
        files = prepared(Path(folder), rounds + 1, seconds)
        with Places() as places:
            for row in rows:
                try:
                    found[row.name] = _row(row, places, files, clients, seconds)
                except (LabError, OSError, CalledProcessError) as error:
                    not_run[row.name] = str(error)
                _progress(row.name, found.get(row.name), not_run.get(row.name))
        slow = [row for row in rows if row.name in found and (profiles_all or _is_slow(found[row.name]))]
        with Places(counted=True) as counting:
            profiler = Profiler(counting, files, clients, seconds)
            for row in slow:
                print(f"profiling {row.name}", file=sys.stderr)
                try:
                    profiles[row.name] = profiler.profile(row, found[row.name])
                except (LabError, OSError, CalledProcessError) as error:
                    not_run[f"{row.name}, profile"] = str(error)
    return {
        "what": "answered orders a second, bare and guarded",
        "host": facts(),
        "rounds": rounds,
        "seconds": seconds,
        "clients": clients,
        "must": MUST,
        "below": [row.name for row in slow if _is_slow(found[row.name])],
        "rows": found,
        "not_run": not_run,
        "profiles": profiles,
    }


def _is_slow(found: dict[str, Any]) -> bool:
    return bool(found["ratio"]["median"] < MUST)


def _row(row: Row, places: Places, files: Sequence[Orders], clients: int, seconds: int) -> dict[str, Any]:
    loads: dict[str, list[Loaded]] = {form: [] for form in FORMS}
    load_average = round(os.getloadavg()[0], 2)
    with ExitStack() as kept:
        forms = {form: kept.enter_context(started(row, form, places)) for form in FORMS}
        # Until all connections are open; a guarded one is asked more before it is used.
        for form in FORMS:
            forms[form].load(files[0], clients, seconds)
        for orders in files[1:]:
            for form in random.sample(FORMS, len(FORMS)):
                loads[form].append(forms[form].load(orders, clients, seconds))
    per_s = {form: [max(one.good_per_s, 1.0) for one in loads[form]] for form in FORMS}
    names = {"store": row.store, "adapter": row.adapter, "load_average_before": load_average}
    return names | {"ratio": ratio(per_s["guarded"], per_s["bare"])} | {form: _medians(loads[form]) for form in FORMS}


def _medians(loads: Sequence[Loaded]) -> dict[str, float]:
    medians = {name: statistics.median(getattr(one, name) for one in loads) for name in _DIGITS}
    sums = {field.name: sum(asdict(one)[field.name] for one in loads) for field in fields(Loaded)}
    return {name: round(medians[name], digits) for name, digits in _DIGITS.items()} | {
        "bad": sums["bad"],
        "answers": sums["answers"],
    }


def _progress(name: str, row: dict[str, Any] | None, why: str | None) -> None:
    if row is None:
        print(f"{name}: not run: {why}", file=sys.stderr)
    else:
        print(f"{_line(name, row)}", file=sys.stderr, flush=True)


def _line(name: str, row: dict[str, Any]) -> str:
    spread = row["ratio"]
    bare, guarded = row["bare"], row["guarded"]
    return (
        f"{name:<58} {bare['good_per_s']:>6.0f} {guarded['good_per_s']:>6.0f}  {spread['median']:.2f} "
        f"[{spread['low']:.2f} .. {spread['high']:.2f}]  cpu {bare['service_us'] + bare['database_us']:.0f} "
        f"{guarded['service_us'] + guarded['database_us']:.0f} us, bad {bare['bad']} {guarded['bad']}, "
        f"others {max(bare['others'], guarded['others']):.0%}"
    )


def _print(result: dict[str, Any]) -> None:
    print("bare and guarded a second, their ratio, processor time of service and database a request")
    for name, row in result["rows"].items():
        print(_line(name, row))
    for name, why in result["not_run"].items():
        print(f"{name}: not run: {why}")
    for name, found in result["profiles"].items():
        print(printed(name, found))
    print(f"below {result['must']}: {len(result['below'])} of {len(result['rows'])}: {'; '.join(result['below'])}")


if __name__ == "__main__":
    sys.exit(main())
