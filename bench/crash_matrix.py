"""Kill -9 and lost connections at every step of a guarded request, on both stores: none lost, none twice, none stuck.

python -m bench.crash_matrix [--rounds 500] [--seed N] [--only TEXT ...]

Three services: Flask on gunicorn with threads and FastAPI on uvicorn, with a file of SQLite and with a PostgreSQL
server; and Actix, in Rust, with PostgreSQL. In every round six clients in pairs send orders, each pair the same ones,
until the process kills itself at the step, or a relay cuts a connection to the server there while the service lives
on. Then every order that anybody tried is sent again. It has to be there once, with one answer, whoever got it and
when.

Also measured: how long after the service listened again a retry succeeded (kill -9); how long after the cut everybody
who had sent an order by then had been answered 201 (connection cut). Writes bench/results/crash_matrix.json; exit code
1 if an order was lost, applied twice, answered differently or stuck.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, TypeAlias

from bench._host import facts
from bench.crashing.actix import built, missing_rust
from bench.crashing.apps import Plan
from bench.crashing.relay import COMMITS, SETTLES, Cut, Relay
from bench.crashing.rounds import Rounds, Row
from bench.crashing.running import PostgresDatabase, Service, made
from bench.crashing.steps import Step
from lab._postgres import Cluster, missing

RESULTS = Path(__file__).parent / "results"
Line: TypeAlias = dict[str, Any]
ADAPTERS = ("flask", "fastapi")
SERVICES = (
    ("sqlite", "flask"),
    ("sqlite", "fastapi"),
    ("postgres", "flask"),
    ("postgres", "fastapi"),
    ("postgres", "actix"),
)
KILL, CUT = "kill -9", "connection cut"
# What a retry may take once the service listens again.
WANTED_MS = 100.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run every row that many times; 0 if all promises were kept."""
    parser = argparse.ArgumentParser(description="kill -9 and lost connections at every step of a guarded request")
    parser.add_argument("--rounds", type=int, default=500, help="for each step of each service")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of the moments")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="services: sqlite, postgres/flask, ...")
    arguments = parser.parse_args(argv)
    if why := missing():
        print(f"bench.crash_matrix: without PostgreSQL: {why}", file=sys.stderr)
    if why := missing_rust():
        print(f"bench.crash_matrix: without Actix: {why}", file=sys.stderr)
    result = crash_matrix(arguments.rounds, arguments.seed, arguments.only)
    if not arguments.only:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "crash_matrix.json").write_text(json.dumps({"host": facts()} | result, indent=2) + "\n")
    wrong = [f"{line['store']}, {line['adapter']}, {problem}" for line in result["rows"] for problem in line["wrong"]]
    print("\n".join(wrong))
    return 1 if wrong else 0


def crash_matrix(rounds: int, seed: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Every row that many times.

    Args:
        rounds: of each row.
        seed: of the requests that meet the step.
        only: the services whose names contain one of these; none: all of them.
    """
    began = monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-crash-")))
        cluster = None if missing() else stack.enter_context(Cluster())
        is_wanted = not only or any(text in "postgres/actix" for text in only)
        program = built() if cluster is not None and is_wanted and not missing_rust() else None
        bench = Bench(folder, cluster, rounds, random.Random(seed), program)
        rows = []
        for line in bench.lines(only):
            print(told(line), flush=True)
            rows.append(line)
    return {"rounds": rounds, "seed": seed, "seconds": round(monotonic() - began, 1), "rows": rows}


@dataclass(frozen=True, slots=True)
class Bench:
    """What the rows share.

    Args:
        folder: for files.
        cluster: the PostgreSQL server; None: there is none.
        rounds: of each row.
        rng: the moments.
        program: what Actix is started with; None: Actix is left out.
    """

    folder: Path
    cluster: Cluster | None
    rounds: int
    rng: random.Random
    program: Path | None = None

    def lines(self, only: Sequence[str] = ()) -> Iterator[Line]:
        """A line for each step of each service."""
        for store, adapter in SERVICES:
            if only and not any(text in f"{store}/{adapter}" for text in only):
                continue
            if adapter == "actix" and self.program is None:
                continue
            if store == "sqlite" or self.cluster is not None:
                yield from self.kills(store, adapter)
            if store == "postgres" and self.cluster is not None:
                yield from self.cuts(adapter)

    def kills(self, store: str, adapter: str, steps: Iterable[Step] = Step, twin: str = "") -> Iterator[Line]:
        """A line for each step at which the process is killed.

        Args:
            store: "sqlite" or "postgres".
            adapter: "flask", "fastapi" or "actix".
            steps: which.
            twin: see Plan.
        """
        name = f"{store}_{adapter}_{twin}"
        with (
            made(store, self.folder, self.cluster, name) as database,
            Service(self._with_program(database.plan(adapter, twin=twin)), self.folder / f"{name}.log") as service,
        ):
            service.start()
            rounds = Rounds(service, database, self.rng)
            for step in steps:
                yield self._line(store, adapter, KILL, step.value, rounds.kill(step, self.rounds))

    def cuts(self, adapter: str) -> Iterator[Line]:
        """A line for each step at which the connection to PostgreSQL is cut."""
        assert self.cluster is not None, "there is a connection to be cut"
        name = f"cut_{adapter}"
        with (
            closing(PostgresDatabase(self.cluster, name)) as database,
            Relay(database.port, COMMITS if adapter == "actix" else SETTLES) as relay,
            Service(
                self._with_program(database.plan(adapter, port=relay.port)), self.folder / f"{name}.log"
            ) as service,
        ):
            service.start()
            rounds = Rounds(service, database, self.rng)
            for cut in Cut:
                yield self._line("postgres", adapter, CUT, cut.value, rounds.cut(relay, cut, self.rounds))

    def _with_program(self, plan: Plan) -> Plan:
        return replace(plan, program=str(self.program)) if plan.adapter == "actix" else plan

    def _line(self, store: str, adapter: str, fault: str, step: str, row: Row) -> Line:
        return {
            "store": store,
            "adapter": adapter,
            "fault": fault,
            "step": step,
            "rounds": self.rounds,
            "orders": row.orders,
            "unanswered_but_applied": row.applied_unanswered,
            "unanswered_and_not_applied": row.not_applied,
            "rounds_with_a_shared_commit": row.groups,
            "asked_to_come_again": dict(sorted(row.statuses.items())),
            "ms_p50": round(median(row.ms), 1) if row.ms else None,
            "ms_max": round(max(row.ms), 1) if row.ms else None,
            "rounds_over_100_ms": sum(ms > WANTED_MS for ms in row.ms),
            "wrong": row.wrong,
        }


def told(line: Mapping[str, Any]) -> str:
    """A line of the table."""
    figures = f"{line['rounds']:>5} rounds {line['orders']:>7} orders {line['ms_p50']:>8} {line['ms_max']:>8} ms"
    over = f"{line['rounds_over_100_ms']:>4} over {WANTED_MS:.0f} ms"
    name = f"{line['store']:<8} {line['adapter']:<7} {line['fault']:<14} {line['step']:<36}"
    return f"{name} {figures} {over}  wrong: {len(line['wrong'])}"


if __name__ == "__main__":
    sys.exit(main())
