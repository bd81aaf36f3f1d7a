"""May a scan say how wide a window would have shown? `python -m bench.window [--rounds N] [--only KIND,...]`

Of the handlers of a burst that begin within S of each other, two neighbours begin within S / (n - 1), so that a window
which is wider lets the second one through. A scan sees no handler; it sees answers. Two things are asked of each class
of server, for bursts of 10 and 20 in each release style: how far apart the answers of the burst itself lie, and how far
apart those of a burst that is refused for its signature lie, which no lock and no database holds back; both beside how
far apart the handlers began. An estimate that comes out too narrow is a promise that does not hold. So a class supports
one if it comes out as at least 0.8 of the truth in 19 of 20 bursts. Writes bench/results/window.json.
"""

import argparse
import hashlib
import hmac
import json
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench._host import facts
from bench._targets import SECRET, Target, missing, target
from tocsin.scan._styles import answer_gap_us
from tocsin.wire import Address, Burst, Style, Trust, chosen, deliver, request_bytes, styles_of

RESULTS = Path(__file__).parent / "results" / "window.json"
KINDS = ("gthread-1", "gthread-2", "nginx", "uvicorn", "hypercorn", "go")
SIZES = (10, 20)
HOLD_S, TIMEOUT_S = 0.03, 10.0
ENOUGH = 0.8

# By style, size and estimator: the estimate of each burst, in parts of the truth.
Ratios = Mapping[str, Sequence[float]]


def measure(kind: str, rounds: int, rng: random.Random) -> Ratios:
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, target(kind, Path(folder)) as where:
        address = Address.resolve(where.origin)
        address = chosen(replace(address, trust=Trust(where.ca), protocol="auto"), timeout_s=TIMEOUT_S)
        turns = [(style, n) for style in styles_of(address) for n in SIZES]
        for number in range(rounds):
            rng.shuffle(turns)
            for style, n in turns:
                burst = f"{number}-{style}-{n}"
                own_us = _apart_us(address, burst, style, n, rng, is_signed=True)
                refused_us = _apart_us(address, f"{burst}-refused", style, n, rng, is_signed=False)
                truth_us = _truth_us(where, burst, n)
                if truth_us and own_us is not None and refused_us is not None:
                    ratios[f"{style} n={n}, its own answers"].append(own_us / truth_us)
                    ratios[f"{style} n={n}, refused for the signature"].append(refused_us / truth_us)
    return ratios


def _apart_us(address: Address, burst: str, style: Style, n: int, rng: random.Random, *, is_signed: bool) -> int | None:
    """How far apart the answers of one burst lie on average."""
    body = json.dumps({"id": burst, "pad": "!"}).encode()
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest() if is_signed else "0" * 64
    headers = [("content-type", "application/json"), ("x-signature", signature)]
    request = request_bytes("POST", "/order", headers, body, host=address.authority)
    asked = Burst((request,) * n, ("order",) * n, style=style, hold_s=HOLD_S, timeout_s=TIMEOUT_S)
    delivery = deliver(asked, address, rng=rng)
    return None if delivery.void else answer_gap_us(delivery.history, delivery.history.statuses())


def _truth_us(where: Target, burst: str, n: int) -> float | None:
    """How far apart its handlers began on average."""
    stamps = where.told(burst)["stamps"]
    assert isinstance(stamps, list)
    return (max(stamps) - min(stamps)) / 1e3 / (n - 1) if len(stamps) == n else None


def told(ratios: Ratios) -> dict[str, object]:
    """For the file of results."""
    found: dict[str, object] = {}
    for name, each in sorted(ratios.items()):
        low = statistics.quantiles(each, n=20)[0] if len(each) > 1 else 0.0
        found[name] = {
            "bursts": len(each),
            "low": round(low, 2),
            "median": round(statistics.median(each), 2),
            "high": round(statistics.quantiles(each, n=20)[-1], 2) if len(each) > 1 else 0.0,
            "supports": low >= ENOUGH,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="bursts per style and size (default 60)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(KINDS), help="default: all")
    arguments = parser.parse_args()
    rng = random.Random(7)
    classes: dict[str, object] = {}
    for kind in arguments.only:
        if why := missing(kind):
            print(f"{kind}: left out; {why}")
            continue
        classes[kind] = found = told(measure(kind, arguments.rounds, rng))
        for name, line in found.items():
            assert isinstance(line, dict)
            verdict = "supports an estimate" if line["supports"] else "supports none"
            print(f"{kind:10} {name:45} {line['low']:6.2f} {line['median']:6.2f} {line['high']:6.2f}  {verdict}")
    result = {"host": facts(), "rounds": arguments.rounds, "enough": ENOUGH, "classes": classes}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
