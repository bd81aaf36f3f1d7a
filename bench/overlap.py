"""How likely does a burst show more than one effect? `python -m bench.overlap [--rounds N] [--quick] [--only KIND,...]`

Services whose window is natural: between look and insert they yield once, as any call to a database or a log does. In
every round each method sends one burst of each size, in shuffled order, each method in a process of its own. Rotation
learns as a scan does, from answers and from the effects that it reads. The first half of the rounds is for learning and
for picking the best of all others; the second half compares. A service has more rounds while the limits of its
differences are wider than can decide, whatever these say. Writes bench/results/overlap.json, and keeps there what it
does not measure.
"""

import argparse
import json
import math
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench._host import facts
from bench._senders import PEERS
from bench._targets import Sender, Target, missing, peers, target

RESULTS = Path(__file__).parent / "results" / "overlap.json"
SIZES = (2, 20)
HTTP_1 = ("rotation", "last-byte", "threads", "whole", "httpx", "aiohttp", "requests_barrier", "fresh_threads")
HTTP_2 = ("rotation", "last-frame", "empty-end", "whole", "record", "httpx", "h2spacex", "webracecondition")
KINDS: Mapping[str, Sequence[str]] = {
    "gthread-1": HTTP_1,
    "gthread-2": HTTP_1,
    "nginx": HTTP_1,
    "uvicorn": HTTP_1,
    "hypercorn": HTTP_2,
    "go": HTTP_2,
}
# One-sided, 95 %.
Z = 1.645
MARGIN = -0.10
# How far below a difference its limit may lie: two methods that are alike are then told from two that are not.
WIDTH = 0.06


class Cell:
    """What bursts of one size showed at one service: by method and in their order, 1 for more than one effect."""

    def __init__(self) -> None:
        self.hits: defaultdict[str, list[int]] = defaultdict(list)
        self.voids: Counter[str] = Counter()
        self.styles: Counter[str] = Counter()

    def compared(self) -> tuple[str, Sequence[int], Sequence[int]]:
        """The best of the others in the first half, and what rotation and it showed in the second."""
        half = len(self.hits["rotation"]) // 2
        picked = max(self.hits.keys() - {"rotation"}, key=lambda name: _share(self.hits[name][:half]))
        return picked, self.hits["rotation"][half:], self.hits[picked][half:]

    def is_precise(self) -> bool:
        """Whether more bursts would decide no better. It looks at the width of the limit only, never at where it is."""
        _, ours, best = self.compared()
        return _share(ours) - _share(best) - lower_limit(ours, best) <= WIDTH

    def told(self) -> dict[str, object]:
        picked, ours, best = self.compared()
        return {
            "rounds": len(self.hits["rotation"]),
            "rotation": round(_share(ours), 3),
            "best_other": picked,
            "best_other_p": round(_share(best), 3),
            "difference": round(_share(ours) - _share(best), 3),
            "lower_limit_95": round(lower_limit(ours, best), 3),
            "all": {name: round(_share(hits), 3) for name, hits in self.hits.items()},
            "rotation_took": dict(self.styles),
            "void": dict(self.voids),
        }


def _share(hits: Sequence[int]) -> float:
    return sum(hits) / len(hits) if hits else 0.0


def lower_limit(ours: Sequence[int], theirs: Sequence[int]) -> float:
    """Of the difference of two shares (Agresti and Caffo 2000: one success and one failure added to each)."""
    n, m = len(ours) + 2, len(theirs) + 2
    p, q = (sum(ours) + 1) / n, (sum(theirs) + 1) / m
    return p - q - Z * math.sqrt(p * (1 - p) / n + q * (1 - q) / m)


def measure(kind: str, rounds: int, most: int, rng: random.Random) -> dict[str, object]:
    cells = {n: Cell() for n in SIZES}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        where = closing.enter_context(target(kind, Path(folder)))
        senders = [Sender(name, peers() if name in PEERS else Path(sys.executable)) for name in KINDS[kind]]
        for sender in senders:
            closing.callback(sender.close)
        turns = [(sender, n) for sender in senders for n in SIZES]
        for number in range(most):
            if number >= rounds and number % 20 == 0 and all(cell.is_precise() for cell in cells.values()):
                break
            rng.shuffle(turns)
            for sender, n in turns:
                _burst(cells[n], sender, where, f"{number}-{sender.method}-{n}", n)
    return {f"n={n}": cell.told() for n, cell in cells.items()}


def _burst(cell: Cell, sender: Sender, where: Target, burst: str, n: int) -> None:
    told = sender.send(where, burst, n)
    if told["void"]:
        cell.voids[f"{sender.method}: {told['void']}"] += 1
    effects = where.told(burst)["effects"]
    assert isinstance(effects, int)
    # A burst that was not delivered is one that the method has spent: it shows what it shows.
    cell.hits[sender.method].append(int(effects > 1))
    if sender.method == "rotation":
        cell.styles[told.get("style", "")] += 1


def show(kind: str, told: Mapping[str, object]) -> None:
    for size, cell in told.items():
        assert isinstance(cell, dict)
        verdict = "ok" if cell["lower_limit_95"] > MARGIN else "too few bursts, or behind"
        other = f"best other {cell['best_other']} {cell['best_other_p']:.2f}"
        print(f"{kind:10} {size:5} rotation {cell['rotation']:.2f}  {other}", end="")
        print(f"  difference {cell['difference']:+.2f}, lower limit {cell['lower_limit_95']:+.2f} ({verdict})")
        print(f"{'':17}{'  '.join(f'{name} {p:.2f}' for name, p in cell['all'].items())}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="bursts per method and size, at least (default 400)")
    parser.add_argument("--most", type=int, default=1000, help="and at most (default 1000)")
    parser.add_argument("--quick", action="store_true", help="20 rounds: about two minutes, too few for the limits")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(KINDS), help="services (default: all)"
    )
    arguments = parser.parse_args()
    rounds, most = (20, 20) if arguments.quick else (arguments.rounds, max(arguments.rounds, arguments.most))
    results = RESULTS.with_name("overlap-quick.json" if arguments.quick else RESULTS.name)
    rng = random.Random(7)
    result: dict[str, object] = json.loads(results.read_text()) if results.exists() else {}
    result["host"] = facts()
    for kind in arguments.only:
        if why := missing(kind):
            print(f"{kind}: left out; {why}")
            continue
        result[kind] = told = measure(kind, rounds, most, rng)
        show(kind, told)
        results.parent.mkdir(exist_ok=True)
        results.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
