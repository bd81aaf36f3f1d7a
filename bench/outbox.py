"""Kill -9 of service and runner at random, on SQLite and PostgreSQL: every message arrives, none is invented.

python -m bench.outbox [--rounds 300] [--seed N] [--only sqlite|postgres]

In every round a guarded service, the runner of its outbox, or both are killed among the orders of four clients, and
started again; the receiver fails a tenth of what it gets. Writes bench/results/outbox.json; exit code 1 if one was
lost, invented or doubled.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bench._host import facts
from bench.outboxing.places import Place, place
from bench.outboxing.storm import storm
from lab._database import Database
from lab._postgres import Cluster, missing

RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the storm on each database; 0 if all promises were kept."""
    parser = argparse.ArgumentParser(description="kill -9 of a service and of its outbox's runner")
    parser.add_argument("--rounds", type=int, default=300, help="kills on each database")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of the moments")
    parser.add_argument("--only", choices=["sqlite", "postgres"], help="one database alone; writes no result")
    arguments = parser.parse_args(argv)
    rows = {}
    for kind in ["sqlite", "postgres"] if arguments.only is None else [arguments.only]:
        with tempfile.TemporaryDirectory() as folder, _made(kind, Path(folder)) as one:
            stormed = storm(one, Path(folder), rounds=arguments.rounds, seed=arguments.seed)
        rows[kind] = asdict(stormed)
        print(
            f"{kind}: {stormed.rounds} kills, {stormed.orders} orders, {stormed.sendings} sendings, "
            f"{stormed.repeated} repeated under their id; wrong: {len(stormed.wrong)}"
        )
    if arguments.only is None:
        result = {"host": facts(), "seed": arguments.seed, "databases": rows}
        (RESULTS / "outbox.json").write_text(json.dumps(result, indent=2) + "\n")
    wrong = [f"{kind}: {problem}" for kind, row in rows.items() for problem in row["wrong"]]
    print("\n".join(wrong))
    return 1 if wrong else 0


@contextmanager
def _made(kind: str, folder: Path) -> Iterator[Place]:
    if kind == "sqlite":
        one = place(str(folder / "orders.db"))
        one.migrate()
        yield one
        return
    if why := missing():
        raise SystemExit(f"bench.outbox: {why}")
    with Cluster() as cluster:
        one = place(Database.create(cluster, "orders").conninfo())
        one.migrate()
        yield one
        one.store.close()


if __name__ == "__main__":
    sys.exit(main())
