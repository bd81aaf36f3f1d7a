"""How closely do the requests of a burst arrive? `python -m bench.delivery [--rounds N] [--quick] [--http3]`

In every round each method sends one burst of each size, in shuffled order, each method in a process of its own. Spread:
last arrival minus first. At the sink an arrival is the kernel's stamp of a request's last segment, so no server's work
is in it; at a server it is when the handler holds the whole body. "+jitter" is the same behind a relay that delays each
connection by itself, by 40 ms with 3 ms of normal jitter. Ratios are medians over the pairs of one round. Writes
bench/results/delivery.json; --http3 measures HTTP/3 alone, and writes bench/results/delivery-http3.json.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench._host import facts
from bench._senders import PEERS
from bench._targets import Sender, Target, missing, peers, target

RESULTS = Path(__file__).parent / "results" / "delivery.json"
SIZES = (2, 10, 20, 30, 100)
HTTP_1 = ("last-byte", "threads", "whole", "httpx", "aiohttp", "requests_barrier", "fresh_threads")
HTTP_2 = ("last-frame", "empty-end", "whole", "record", "httpx", "h2spacex", "webracecondition")
KINDS: dict[str, Sequence[str]] = {
    "sink": HTTP_1,
    "sink+jitter": HTTP_1,
    "uvicorn": HTTP_1,
    "hypercorn": HTTP_2,
    "hypercorn+jitter": HTTP_2,
    "go": HTTP_2,
}
HTTP_3: dict[str, Sequence[str]] = {"hypercorn-h3": ("last-frame", "empty-end", "whole")}
MANY = 200


@dataclass
class Cell:
    """The bursts of one size at one service: spreads in milliseconds, by method and round."""

    spreads: defaultdict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    lost: Counter[str] = field(default_factory=Counter)

    def median(self, method: str) -> float:
        return statistics.median(self.spreads[method].values()) if self.spreads[method] else float("nan")

    def times(self, theirs: str, ours: str) -> float:
        """How many times wider the others are, in the median over rounds."""
        both = self.spreads[theirs].keys() & self.spreads[ours].keys()
        ratios = [self.spreads[theirs][number] / max(self.spreads[ours][number], 1e-6) for number in both]
        return statistics.median(ratios) if ratios else float("nan")

    def told(self) -> dict[str, object]:
        return {
            name: {
                "spread_ms_p50": round(self.median(name), 3),
                "spread_ms_p95": round(statistics.quantiles(spreads.values(), n=20)[-1], 3),
                "bursts": len(spreads),
                "lost": self.lost[name],
            }
            for name, spreads in self.spreads.items()
            if len(spreads) > 1
        }


Cells = dict[tuple[str, int], Cell]


def measure(kind: str, sizes: Sequence[int], rounds: int, rng: random.Random, cells: Cells) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        where = closing.enter_context(target(kind, Path(folder)))
        senders = [Sender(name, peers() if name in PEERS else Path(sys.executable)) for name in (KINDS | HTTP_3)[kind]]
        for sender in senders:
            closing.callback(sender.close)
        turns = [(sender, n) for sender in senders for n in sizes]
        for number in range(rounds):
            rng.shuffle(turns)
            for sender, n in turns:
                _burst(cells.setdefault((kind, n), Cell()), sender, where, number, n)


def _burst(cell: Cell, sender: Sender, where: Target, number: int, n: int) -> None:
    burst = f"{number}-{sender.method}-{n}"
    void = sender.send(where, burst, n)["void"]
    stamps = where.told(burst)["stamps"]
    assert isinstance(stamps, list)
    if void or len(stamps) != n:
        cell.lost[sender.method] += 1
        return
    cell.spreads[sender.method][number] = (max(stamps) - min(stamps)) / 1e6


def one_byte(rng: random.Random) -> str:
    """Whether 200 whole requests, released by one byte, all ran."""
    cell = Cell()
    if why := missing("go"):
        return f"not measured: {why}"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        where = closing.enter_context(target("go", Path(folder)))
        sender = Sender("record", Path(sys.executable))
        closing.callback(sender.close)
        _burst(cell, sender, where, rng.randrange(10**6), MANY)
    return "NOT all ran" if cell.lost else f"all ran, spread {cell.median('record'):.2f} ms"


def goals(cells: Cells) -> Iterator[tuple[str, str, float, bool]]:
    """What issue and engine-numbers ask for at n = 20: name, wanted, measured, reached."""

    def cell(kind: str) -> Cell:
        return cells.get((kind, 20), Cell())

    sink, hypercorn, go = cell("sink"), cell("hypercorn"), cell("go")
    yield _at_least("HTTP/1.1: httpx / last-byte", 4, sink.times("httpx", "last-byte"))
    yield _at_least("HTTP/1.1: requests with a barrier / last-byte", 25, sink.times("requests_barrier", "last-byte"))
    tight, fit = tightest(hypercorn), tightest(go)
    yield _at_least(f"HTTP/2, hypercorn: httpx / {tight}", 15, hypercorn.times("httpx", tight))
    level = hypercorn.times("h2spacex", tight)
    yield f"HTTP/2, hypercorn: h2spacex / {tight}", "at least 0.8", level, level >= 0.8
    yield _at_least(f"HTTP/2, go: h2spacex / {fit}", 1.3, go.times("h2spacex", fit))
    jitter = cell("hypercorn+jitter")
    through = jitter.median(tight) / hypercorn.median(tight)
    yield f"HTTP/2: {tight} through jitter / on loopback", "at most 1.3", through, through <= 1.3
    yield _at_least(
        f"jitter: tightest HTTP/1.1 / {tight}",
        40,
        min(cell("sink+jitter").median(name) for name in HTTP_1) / jitter.median(tight),
    )


def tightest(cell: Cell) -> str:
    """Of our HTTP/2 styles; which one that is, is told with every number."""
    return min((name for name in HTTP_2 if name not in PEERS), key=cell.median)


def _at_least(name: str, wanted: float, measured: float) -> tuple[str, str, float, bool]:
    return name, f"at least {wanted:g}", measured, measured >= wanted


def show(kind: str, sizes: Sequence[int], cells: Cells) -> None:
    print(f"\n{kind}: spread in ms, median{'':18}" + "".join(f"n={n:<8}" for n in sizes))
    for method in (KINDS | HTTP_3)[kind]:
        row = [cells[kind, n] for n in sizes]
        told = "".join(f"{cell.median(method):<10.3f}" for cell in row)
        lost = sum(cell.lost[method] for cell in row)
        print(f"  {method:40} {told}{f'({lost} lost)' if lost else ''}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="bursts per method and size (default 40)")
    parser.add_argument("--quick", action="store_true", help="5 rounds without n = 100: about two minutes")
    parser.add_argument("--http3", action="store_true", help="HTTP/3 alone, which no peer here speaks")
    arguments = parser.parse_args()
    rounds, sizes = (5, SIZES[:-1]) if arguments.quick else (arguments.rounds, SIZES)
    rng = random.Random(7)
    cells: Cells = {}
    for kind in HTTP_3 if arguments.http3 else KINDS:
        if why := missing(kind.partition("+")[0]):
            print(f"\n{kind}: left out; {why}")
            continue
        measure(kind, sizes, rounds, rng, cells)
        show(kind, sizes, cells)
    measured: dict[str, object] = {"host": facts(), "rounds": rounds}
    measured |= {f"{kind} n={n}": cell.told() for (kind, n), cell in cells.items()}
    if arguments.http3:
        RESULTS.with_name("delivery-http3.json").write_text(json.dumps(measured, indent=2) + "\n")
        return
    print("\nGoals, n = 20")
    reached = list(goals(cells))
    for name, wanted, ratio, ok in reached:
        print(f"  {name:48} {wanted:14} {ratio:8.2f}  {'reached' if ok else 'NOT REACHED'}")
    held = one_byte(rng)
    print(f"  {MANY} whole requests by one byte: {held}")
    result = {
        **measured,
        "goals": {name: {"wanted": wanted, "measured": round(ratio, 2)} for name, wanted, ratio, _ in reached},
        "one_byte": held,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    name = "delivery-quick.json" if arguments.quick else RESULTS.name
    RESULTS.with_name(name).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
