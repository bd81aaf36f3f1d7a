"""One service under load, and what it and its database spend on a request."""

import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from bench._wrk import Load, Orders, load, prepare
from bench.costs import processors
from bench.costs.places import Places
from bench.costs.rows import Row
from bench.costs.trips import Trips
from lab._launch import Running, reserve_port
from lab._services import Service

ROOT = Path(__file__).parents[2]
FORMS = ("bare", "guarded")
# The most that any service here answers in a second, with room: every request is sent once.
MOST_PER_S = 80_000
SECRET = secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A form under load.

    Args:
        good_per_s: 2xx answers per second.
        p99_ms: what 1 % took longer than.
        bad: answers that were not 2xx, and requests without one.
        answers: all of them.
        service_us: processor time of the service for each answer, in microseconds.
        database_us: likewise, of the database server.
        others: the part of the machine's processor time that programs of somebody else took.
    """

    good_per_s: float
    p99_ms: float
    bad: int
    answers: int
    service_us: float
    database_us: float
    others: float


class Started:
    """A form of a row that runs, on a database of its own."""

    def __init__(self, running: Running, pids: frozenset[int], database: frozenset[int]) -> None:
        self._running = running
        self._pids = pids
        self._database = database

    def load(self, orders: Orders, clients: int, seconds: int) -> Loaded:
        """Send orders that it has not seen."""
        before = self._clocks()
        found: Load = load(self._running.port, orders, clients=clients, seconds=seconds)
        busy, ours, service, database, wall = (b - a for a, b in zip(before, self._clocks(), strict=True))
        answers = max(found.answers, 1)
        return Loaded(
            good_per_s=found.good_per_s,
            p99_ms=found.p99_ms,
            bad=found.not_2xx + found.unanswered,
            answers=found.answers,
            service_us=service / answers * 1e6,
            database_us=database / answers * 1e6,
            others=min(1.0, max(0.0, busy - ours) / (wall * processors.COUNT)),
        )

    def _clocks(self) -> tuple[float, ...]:
        return (
            processors.busy_s(),
            processors.ours_s(),
            processors.spent_s(self._pids),
            processors.spent_s(self._database),
            perf_counter(),
        )


@contextmanager
def started(
    row: Row, form: str, places: Places, trips: Trips | None = None, talk: Path | None = None
) -> Iterator[Started]:
    """Run a form of a row.

    Args:
        row: which.
        form: bare or guarded.
        places: where its database is made.
        trips: stands between it and its database server.
        talk: where the service is told to look at itself; None: it does not.
    """
    environment = {
        "COSTS_ADAPTER": row.adapter,
        "COSTS_FORM": form,
        "COSTS_ORDERS": row.orders,
        "COSTS_URL": places.address(row.place, trips),
        "COSTS_INSPECTED": "" if talk is None else str(talk),
    }
    port = reserve_port()
    words = [f"{name}={value}" for name, value in environment.items()]
    command = ("env", f"ROBYN_PORT={port}", *words, "{python}", "-m", *row.server)
    with tempfile.TemporaryDirectory(prefix="tocsin-costs-") as data:
        service = Service(f"{row.name}, {form}", ROOT, "", command, "/ready", 0, "")
        running = Running(service, port, SECRET, Path(data), keeps_data=True)
        before = processors.children()
        running.begin()
        with running:
            yield Started(running, frozenset(processors.children() - before), places.place(row.place).pids)


def prepared(folder: Path, count: int, seconds: int) -> list[Orders]:
    """So many files of orders, each for one load of every form."""
    print(f"preparing {count} files of signed orders", file=sys.stderr)
    return [prepare(folder / f"orders-{number}", MOST_PER_S * seconds, SECRET.encode()) for number in range(count)]
