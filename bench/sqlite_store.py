"""What does the guard add to a SQLite transaction? `python -m bench.sqlite_store [--quick]`

No HTTP. A transaction inserts one row of the application. `bare` is that alone, inline, on a kept connection: BEGIN
IMMEDIATE, INSERT, COMMIT. `mutex` is the same for threads that share the connection. `plain` is a connection for each
thread, as most services have it, with SQLite's own busy timeout: of these one has the lock nearly all the time, and its
short times are nearly all there are, so it is the longest that show what the others have. `batching writer` inserts the
same claims, rows and answers as the guard, 64 in a transaction, and asks nobody: nothing that does this work can be
faster. `guarded` is the whole function, from the signed request to its stored answer; `store` is take, INSERT, settle,
from 64 threads or tasks that each begin again when they are done. `replay after a restart` is of keys that the process
has not met, so that it takes a transaction to find them. On an empty table of claims and on one that keeps a million;
ids are random.

In every round each subject runs once, in random order; ratios are taken within a round. `cpu_us` is processor time with
synchronous OFF, which a slow disk cannot hide; everything else is WAL and synchronous FULL. Writes
bench/results/sqlite_store.json.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import local

from bench._host import facts
from bench._rounds import ratio
from bench._sqlite_subjects import Rates, bare, database, guarded_by, of_threads, one_caller, submitters
from tocsin.guard.stores.sqlite import SQLiteStore

RESULTS = Path(__file__).parent / "results" / "sqlite_store.json"

KEPT = 1_000_000

THREADS_A_PROCESS = 32


def process(path: Path, kind: str, seconds: float) -> None:
    """One of several processes on one file; tells its rate and times."""
    if kind == "store":
        transact = guarded_by(SQLiteStore(path))
    else:
        mine = local()

        def transact() -> None:
            if not hasattr(mine, "transact"):
                mine.transact = bare(path, "FULL")
            mine.transact(None)

    print("ready", flush=True)
    sys.stdin.readline()
    rate, took = of_threads(transact, THREADS_A_PROCESS, seconds)
    print(json.dumps({"rate": rate, "ms": [round(1000 * one, 3) for one in took]}))


def processes(path: Path, kind: str, count: int, seconds: float) -> Rates:
    command = [sys.executable, "-m", "bench.sqlite_store", "--process", kind, str(path), str(seconds)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for child in running:
        assert child.stdout is not None
        child.stdout.readline()
    for child in running:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    told = [json.loads(child.communicate()[0]) for child in running]
    took = sorted(one for each in told for one in each["ms"])
    name = f"{kind}, {count} x {THREADS_A_PROCESS}"
    return {
        f"{name} per s": sum(each["rate"] for each in told),
        f"{name} max ms": took[-1],
    }


def measured(path: Path, calls: int, seconds: float) -> Rates:
    """One round: every subject once."""
    parts: list[Callable[[], Rates]] = [
        lambda: one_caller(path, calls),
        lambda: submitters(path, seconds),
        *(partial(processes, path, kind, count, seconds) for kind in ("store", "plain") for count in (1, 2, 4)),
    ]
    random.shuffle(parts)
    return {name: value for part in parts for name, value in part().items()}


def summary(found: Mapping[str, list[float]]) -> dict[str, object]:
    writer = found["batching writer"]
    over = [a - b for a, b in zip(found["guarded cpu_us"], found["bare cpu_us"], strict=True)]
    ratios = {
        "guarded / bare, wall, one caller (must 1.8, goal 1.3)": ratio(found["guarded wall_us"], found["bare wall_us"]),
        "store, 64 tasks / batching writer (must 0.5, goal 0.7)": ratio(found["store, 64 tasks"], writer),
        "store, 64 threads / batching writer": ratio(found["store, 64 threads"], writer),
        "store, 64 threads / mutex, 64 threads": ratio(found["store, 64 threads"], found["mutex, 64 threads"]),
    }
    for count in (2, 4):
        mine, plain = (f"{kind}, {count} x {THREADS_A_PROCESS}" for kind in ("store", "plain"))
        ratios[f"longest of plain / store, {count} x {THREADS_A_PROCESS}"] = ratio(
            found[f"{plain} max ms"], found[f"{mine} max ms"]
        )
        alone = f"store, 1 x {THREADS_A_PROCESS} per s"
        ratios[f"{mine} / 1 process"] = ratio(found[f"{mine} per s"], found[alone])
    return {
        "cpu_us over bare, one caller (must 35, goal 20)": round(statistics.median(over), 1),
        "replay cpu_us (must 10, goal 5)": round(statistics.median(found["replay cpu_us"]), 1),
        "ratios": ratios,
        "medians": {name: round(statistics.median(values), 2) for name, values in sorted(found.items())},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description="the cost of the SQLite store")
    parser.add_argument("--quick", action="store_true", help="three short rounds: two minutes")
    parser.add_argument("--process", nargs=3, metavar=("KIND", "FILE", "SECONDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.process is not None:
        kind, path, seconds = arguments.process
        process(Path(path), kind, float(seconds))
        return
    rounds, calls, seconds = (3, 1000, 0.7) if arguments.quick else (9, 5000, 4.0)
    results: dict[str, object] = {"host": facts(), "rounds": rounds, "seconds": seconds}
    with tempfile.TemporaryDirectory() as directory:
        paths = {kept: database(Path(directory, f"{kept}.db"), kept) for kept in (0, KEPT)}
        found: dict[int, dict[str, list[float]]] = {kept: defaultdict(list) for kept in paths}
        for _ in range(rounds):
            for kept in random.sample(sorted(paths), len(paths)):
                for name, value in measured(paths[kept], calls, seconds).items():
                    found[kept][name].append(value)
    results |= {f"{kept} claims kept": summary(found[kept]) for kept in paths}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
