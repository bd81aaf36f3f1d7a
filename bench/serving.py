"""Guarded services beside unguarded ones and the published article's, over HTTP, in one run.

python -m bench.serving [--rounds 9] [--seconds 10] [--quick] [--only NAME ...]

Every request is a signed order with an id of its own. In each round every service is started once, on a new database,
in random order; ratios are taken within a round. Guarded services run on an empty table of claims and on one with a
million kept claims. What is served from an event loop has been frozen (gc.freeze), guarded or not; two rows tell what
that does. Then 256 clients meet four processes, on this disk and on one with 2 ms more for every fsync: whatever is
answered must be 2xx. Writes bench/results/serving.json; exit code 1 if a guarded service answered anything else.
"""

import argparse
import json
import os
import random
import secrets
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench._host import facts
from bench._rounds import ratio
from bench._wrk import Load, Orders, load, missing, prepare
from lab._launch import Running, reserve_port
from lab._services import Service
from lab._slow_disk import environment
from tocsin.guard.stores.sqlite import SQLiteStore

HERE = Path(__file__).parent
KEPT = 1_000_000
CLIENTS = 64
# The most that any service here answers in a second, with room: every request is sent once.
MOST_PER_S = 40_000
FSYNC_DELAY_MS = 2
SECRET = secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Cell:
    """A service as it is run and loaded.

    Args:
        app: a module of bench/services.
        server: the words of its command after `python -m`, {port} and {app} to be filled in.
        kept: whether a million claims are in its table before.
        clients: how many send at once.
        slow_disk: whether every fsync takes 2 ms more.
    """

    app: str
    server: tuple[str, ...]
    kept: bool = False
    clients: int = CLIENTS
    slow_disk: bool = False


def _gthread(processes: int, threads: int) -> tuple[str, ...]:
    words = "gunicorn --bind 127.0.0.1:{port} --worker-class gthread --log-level warning --no-control-socket {app}:app"
    return (*words.split(), "--workers", str(processes), "--threads", str(threads))


def _uvicorn(processes: int, *app: str) -> tuple[str, ...]:
    words = "uvicorn --host 127.0.0.1 --port {port} --log-level warning --no-access-log"
    return (*words.split(), "--workers", str(processes), *(app or ("{app}:app",)))


def _spread(processes: int) -> tuple[str, ...]:
    return ("spread", "{app}", "--port", "{port}", "--processes", str(processes))


# See services/frozen.py.
_FROZEN = ("--factory", "frozen:{app}")
ARTICLE, FLASK_1, FLASK_2 = "article", "guarded Flask, 1 process", "guarded Flask, 2 processes"
BARE, QUEUED, SHARING = "bare FastAPI", "queued FastAPI", "sharing FastAPI"
FASTAPI, ASGI = "guarded FastAPI", "guarded ASGI"
_ON_2 = ", 2 processes"
_KEPT = ", a million kept claims"
_AS_IT_COMES = ", garbage collected as it comes"

CELLS: Mapping[str, Cell] = {
    ARTICLE: Cell("article_flask", _gthread(2, 32)),
    BARE: Cell("bare_fastapi", _uvicorn(1, *_FROZEN)),
    QUEUED: Cell("queued_fastapi", _uvicorn(1, *_FROZEN)),
    SHARING: Cell("sharing_fastapi", _uvicorn(1, *_FROZEN)),
    FASTAPI: Cell("guarded_fastapi", _uvicorn(1, *_FROZEN)),
    FASTAPI + _KEPT: Cell("guarded_fastapi", _uvicorn(1, *_FROZEN), kept=True),
    FASTAPI + _AS_IT_COMES: Cell("guarded_fastapi", _uvicorn(1)),
    FASTAPI + _ON_2: Cell("guarded_fastapi", _spread(2)),
    BARE + _ON_2: Cell("bare_fastapi", _spread(2)),
    ASGI: Cell("guarded_asgi", _uvicorn(1, *_FROZEN)),
    ASGI + _ON_2: Cell("guarded_asgi", _spread(2)),
    ASGI + _KEPT: Cell("guarded_asgi", _uvicorn(1, *_FROZEN), kept=True),
    FLASK_1: Cell("guarded_flask", _gthread(1, 64)),
    FLASK_2: Cell("guarded_flask", _gthread(2, 32)),
    FLASK_2 + _KEPT: Cell("guarded_flask", _gthread(2, 32), kept=True),
}
CROWDED: Mapping[str, Cell] = {
    f"{name}, 4 processes, 256 clients{', 2 ms more a fsync' if slow else ''}": Cell(
        app, server, clients=256, slow_disk=slow
    )
    for name, app, server in (
        ("guarded FastAPI", "guarded_fastapi", _uvicorn(4)),
        ("guarded ASGI", "guarded_asgi", _uvicorn(4)),
        ("guarded Flask", "guarded_flask", _gthread(4, 64)),
    )
    for slow in (False, True)
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a ratio, what it must be at least, and what would be good."""

    title: str
    above: str
    below: str
    figure: str
    must: float
    goal: float


TABLE = (
    Row("guarded FastAPI / article", FASTAPI, ARTICLE, "good_per_s", 7.5, 12),
    Row("guarded FastAPI on 2 processes / article", FASTAPI + _ON_2, ARTICLE, "good_per_s", 7.5, 12),
    Row("guarded FastAPI / unguarded FastAPI of the same durability", FASTAPI, BARE, "good_per_s", 2.5, 3.5),
    Row("the same, both on 2 processes", FASTAPI + _ON_2, BARE + _ON_2, "good_per_s", 2.5, 3.5),
    Row("guarded FastAPI / unguarded FastAPI behind the same write queue", FASTAPI, SHARING, "good_per_s", 0.7, 0.9),
    Row("guarded FastAPI / unguarded FastAPI behind the leanest write queue", FASTAPI, QUEUED, "good_per_s", 0.7, 0.9),
    Row("guarded raw ASGI / article", ASGI, ARTICLE, "good_per_s", 18, 30),
    Row("guarded raw ASGI on 2 processes / article", ASGI + _ON_2, ARTICLE, "good_per_s", 18, 30),
    Row("guarded Flask / article, same server flags, 2 processes", FLASK_2, ARTICLE, "good_per_s", 2.5, 4.5),
    Row("p99, article / guarded FastAPI", ARTICLE, FASTAPI, "p99_ms", 40, 100),
    Row("p99, article / guarded FastAPI on 2 processes", ARTICLE, FASTAPI + _ON_2, "p99_ms", 40, 100),
    Row("p99, article / guarded Flask on 1 process", ARTICLE, FLASK_1, "p99_ms", 20, 40),
    Row("p99, article / guarded Flask on 2 processes", ARTICLE, FLASK_2, "p99_ms", 10, 20),
    Row(
        "p99, guarded FastAPI, garbage collected as it comes / frozen", FASTAPI + _AS_IT_COMES, FASTAPI, "p99_ms", 0, 1
    ),
    Row(
        "guarded FastAPI, garbage collected as it comes / article",
        FASTAPI + _AS_IT_COMES,
        ARTICLE,
        "good_per_s",
        0,
        7.5,
    ),
    Row("guarded FastAPI, a million kept claims / none", FASTAPI + _KEPT, FASTAPI, "good_per_s", 0, 1),
    Row("guarded raw ASGI, a million kept claims / none", ASGI + _KEPT, ASGI, "good_per_s", 0, 1),
    Row("guarded Flask, a million kept claims / none", FLASK_2 + _KEPT, FLASK_2, "good_per_s", 0, 1),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 if every answer of a guarded service was 2xx."""
    parser = argparse.ArgumentParser(description="guarded services beside unguarded ones, over HTTP")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 3 s, to see that it runs; not for quoting")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="of the services: " + "; ".join(CELLS))
    arguments = parser.parse_args(argv)
    if why := missing():
        print(f"bench.serving: skipped: {why}")
        return 0
    if arguments.quick:
        arguments.rounds, arguments.seconds = 3, 3
    unknown = sorted(set(arguments.only) - set(CELLS))
    if unknown:
        parser.error(f"--only {unknown[0]!r}: wanted one of {'; '.join(CELLS)}")
    result = measure(arguments.rounds, arguments.seconds, arguments.only or [*CELLS, *CROWDED])
    target = HERE / "results" / "serving.json"
    if not arguments.only and not arguments.quick:
        target.write_text(json.dumps({"host": facts()} | result, indent=2) + "\n")
    _print(result)
    return 1 if result["failed"] else 0


def measure(rounds: int, seconds: float, names: Sequence[str]) -> dict[str, object]:
    """Run the named cells that many rounds."""
    cells = {name: cell for name, cell in {**CELLS, **CROWDED}.items() if name in names}
    loads: dict[str, list[Load]] = {name: [] for name in cells}
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as scratch:
        bench = Bench(Path(scratch), seconds)
        for number in range(rounds):
            order = list(cells)
            random.shuffle(order)
            for name in order:
                loads[name].append(bench.run(cells[name]))
                print(f"round {number + 1}/{rounds}  {name}: {loads[name][-1].good_per_s:.0f}/s", file=sys.stderr)
    table = [_row(row, loads) for row in TABLE if row.above in loads and row.below in loads]
    failed = sorted(name for name in loads if _bad(loads[name]) and name.startswith("guarded"))
    return {
        "rounds": rounds,
        "seconds": seconds,
        "clients": CLIENTS,
        "table": table,
        "short_of_must": [line["title"] for line in table if not line["reaches_must"]],
        "failed": failed,
        "not_2xx_or_unanswered": {name: _bad(loads[name]) for name in loads},
        "services": {name: [asdict(one) for one in loads[name]] for name in loads},
    }


def _row(row: Row, loads: Mapping[str, Sequence[Load]]) -> dict[str, object]:
    above = [float(getattr(one, row.figure)) for one in loads[row.above]]
    below = [float(getattr(one, row.figure)) for one in loads[row.below]]
    found = ratio(above, below)
    return {"title": row.title, **found, "must": row.must, "goal": row.goal, "reaches_must": found["low"] >= row.must}


def _bad(loads: Sequence[Load]) -> int:
    return sum(one.not_2xx + one.unanswered for one in loads)


class Bench:
    """What the rounds share: prepared orders, a database with kept claims, the slow disk.

    Args:
        scratch: a directory of its own.
        seconds: how long each load lasts.
    """

    def __init__(self, scratch: Path, seconds: float) -> None:
        self._scratch = scratch
        self._seconds = seconds
        self._orders: Orders = prepare(scratch / "orders", round(MOST_PER_S * seconds), SECRET.encode())
        self._kept: Path | None = None

    def run(self, cell: Cell) -> Load:
        """Start the service, load it, stop it."""
        with self._started(cell) as running:
            return load(running.port, self._orders, clients=cell.clients, seconds=self._seconds)

    @contextmanager
    def _started(self, cell: Cell) -> Iterator[Running]:
        data = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            if cell.kept:
                shutil.copy(self._with_kept_claims(), data / "orders.db")
            command = tuple(word.replace("{app}", cell.app) for word in ("{python}", "-m", *cell.server))
            service = Service(cell.app, HERE / "services", "", command, "/ready", 0, "")
            slower = environment(FSYNC_DELAY_MS) if cell.slow_disk else {}
            running = Running(service, reserve_port(), SECRET, data, keeps_data=True, environment=slower)
            running.begin()
            with running:
                yield running
        finally:
            shutil.rmtree(data, ignore_errors=True)

    def _with_kept_claims(self) -> Path:
        """A database in which a million other orders have been claimed and answered."""
        if self._kept is None:
            self._kept = self._scratch / "kept.db"
            fill(self._kept, KEPT)
        return self._kept


def fill(path: Path, count: int) -> None:
    """Put that many settled claims with random keys into a new database of the guard."""
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        columns = "key, version, tenant, operation, fingerprint, taken_unix_ms, status, headers, body"
        rows = (
            (
                os.urandom(32),
                1,
                "main",
                "/order",
                os.urandom(33),
                1_790_000_000_000,
                200,
                b"[]",
                b'{"status":"processed"}',
            )
            for _ in range(count)
        )
        with db:
            db.executemany(f"INSERT INTO tocsin_claims ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _print(result: Mapping[str, object]) -> None:
    table = result["table"]
    assert isinstance(table, list)
    for line in table:
        print(
            f"{line['title']:<62} {line['median']:>8.2f} [{line['low']:.2f} .. {line['high']:.2f}]"
            f"  must {line['must']:g}, goal {line['goal']:g}"
        )
    print(json.dumps(result["not_2xx_or_unanswered"], indent=2))


if __name__ == "__main__":
    sys.exit(main())
