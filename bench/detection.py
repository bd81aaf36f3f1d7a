"""Does a scan find a race that is there? `python -m bench.detection [--scans N | --full] [--windows US,...] [--fresh]`

The lab's vulnerable orders with windows of 0 (what its database calls take), 100 us, 1 ms and 5 ms. Beside each stands
how likely one burst shows it, measured apart: bursts of all sizes and release styles in turn, straight from the wire,
their effects read from the service. Each scan is `--only concurrent-duplicate` with the time that the lab's plan gives.
Where one burst in ten shows the race, or more, at least 99 of 100 scans have to see it within 10 s of their start,
control included, and say VIOLATED; --full makes the 300 scans of each window that show it.

Scans of all windows take turns. Ctrl-C stops after writing what there is, and the same command goes on from there.
Writes bench/results/detection.json with every miss; exit code 1 if there are too many.
"""

import argparse
import hashlib
import hmac
import http.client
import itertools
import json
import os
import random
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bench._host import facts
from bench._records import Record, Records
from lab._launch import Running, launch
from lab._services import Service, find
from tocsin.events import BurstCollected, CheckStarted, Event, FindingMade
from tocsin.scan import CHECKS, Options, addresses, authorise, beside, plan_from_toml, run, senders
from tocsin.wire import Address, Burst, deliver, request_bytes, styles_of

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "detection.json"
CHECK: Final = "concurrent-duplicate"
WINDOWS_US: Final = (0, 100, 1000, 5000)
SIZES: Final = (20, 2, 10, 6, 16, 4)
WITHIN_S: Final = 10.0
# Of the misses, and what is asked of a window: its probability per burst.
WANTED, WORTH_FINDING = 0.99, 0.1
SCANS, FULL, BURSTS = 30, 300, 120
HOLD_S, TIMEOUT_S = 0.03, 10.0


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    records = Records(ROOT / "build" / "detection" / "scans.jsonl", fresh=arguments.fresh)
    wanted = [(window_us, number) for number in range(arguments.scans) for window_us in arguments.windows]
    todo = [(window_us, number) for window_us, number in wanted if not records.has(window_us=window_us, scan=number)]
    try:
        with ExitStack() as closing:
            for place, (window_us, number, running) in enumerate(_running(todo, closing), start=1):
                if not any("p" in record and record["window_us"] == window_us for record in records):
                    records.add({"window_us": window_us, "scan": None} | probability(running))
                records.add({"window_us": window_us, "scan": number} | one(running, seed=number))
                _show(list(records)[-1], place, len(todo))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here")
    result = {f"{window_us} us": told(records, window_us) for window_us in arguments.windows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"host": facts(), "windows": result}, indent=2) + "\n")
    for name, window in result.items():
        print(
            f"{name:>7}: a burst shows it with {window['p_per_burst']}; found in {window['found']} of {window['scans']}"
        )
    return 0 if all(window["is_enough"] for window in result.values()) else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=SCANS, help=f"of each window (default: {SCANS})")
    parser.add_argument("--full", dest="scans", action="store_const", const=FULL, help=f"{FULL} of each window")
    parser.add_argument(
        "--windows", type=lambda text: [int(part) for part in text.split(",")], default=list(WINDOWS_US), metavar="US"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the scans of earlier runs")
    return parser.parse_args(argv)


def _running(todo: Sequence[tuple[int, int]], closing: ExitStack) -> Iterator[tuple[int, int, Running]]:
    """Each scan with its service, which is started once and stopped at the end."""
    services: dict[int, Running] = {}
    for window_us, number in todo:
        if window_us not in services:
            os.environ["WINDOW_US"] = str(window_us)
            services[window_us] = closing.enter_context(launch(_service()))
        yield window_us, number, services[window_us]


def _service() -> Service:
    vulnerable = find("flask-vulnerable")
    *command, _app = vulnerable.command
    here = str(Path(__file__).parent / "services")
    return replace(vulnerable, command=(*command, "--pythonpath", here, "widened:app"))


def probability(running: Running) -> Record:
    """How likely a burst has more than one effect: all sizes and styles in turn, by no code of the scan."""
    address = Address.resolve(running.base_url)
    rng = random.Random(7)
    item = _asked(running, "POST", "/items", {"stock": 1_000_000})["item"]
    turns = itertools.islice(itertools.cycle(itertools.product(styles_of(address), SIZES)), BURSTS)
    hits = 0
    for style, size in turns:
        order = str(uuid.uuid4())
        body = json.dumps({"order_id": order, "item": item, "qty": 1}).encode()
        signature = hmac.new(running.secret.encode(), body, hashlib.sha256).hexdigest()
        request = request_bytes("POST", "/order", (("Host", address.authority), ("X-Signature", signature)), body)
        labels = tuple(str(place) for place in range(size))
        burst = Burst((request,) * size, labels, hold_s=HOLD_S, timeout_s=TIMEOUT_S, style=style)
        deliver(burst, address, rng=rng)
        hits += _asked(running, "GET", f"/orders/{order}")["count"] > 1
    return {"p": round(hits / BURSTS, 3), "bursts": BURSTS}


def _asked(running: Running, method: str, path: str, document: Mapping[str, object] | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=TIMEOUT_S)
    try:
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def one(running: Running, *, seed: int) -> Record:
    """One scan: when it saw the race, from the start of the check, and what it said in the end."""
    os.environ["LAB_SECRET"] = running.secret
    folder = running.service.plan.parent
    text = running.service.plan.read_text()
    plan = plan_from_toml(text, str(running.service.plan), base_url=running.base_url, files=beside(folder))
    plan = authorise(plan, [], accept_effects=None)
    secret, *others = senders(plan, folder)
    events: list[tuple[float, Event]] = []
    checks = [check for check in CHECKS if check.id == CHECK]
    options = Options(checks, seed, ("tocsin", "scan"))
    where = addresses(plan, folder=folder)
    run(plan, secret, where, options, lambda event: events.append((time.monotonic(), event)), others=others)
    return _judged(events)


def _judged(events: Sequence[tuple[float, Event]]) -> Record:
    began = next(at for at, event in events if isinstance(event, CheckStarted))
    bursts = [(at, event) for at, event in events if isinstance(event, BurstCollected)]
    finding = next(event.finding for _, event in events if isinstance(event, FindingMade))
    until_hit = [at - began for at, event in bursts if event.effects is not None and event.effects > 1]
    after_s = round(until_hit[0], 2) if until_hit else None
    record = {
        "verdict": str(finding.verdict),
        "after_s": after_s,
        "bursts": next((place for place, (_, event) in enumerate(bursts, 1) if (event.effects or 0) > 1), len(bursts)),
        "load": round(os.getloadavg()[0], 1),
    }
    is_found = finding.verdict == "VIOLATED" and after_s is not None and after_s <= WITHIN_S
    return record | {"found": is_found} | ({} if is_found else {"said": finding.evidence.summary})


def _show(record: Record, place: int, of: int) -> None:
    said = (
        f"after {record['after_s']} s, in burst {record['bursts']}" if record["found"] else f"MISSED: {record['said']}"
    )
    print(f"{place}/{of} {record['window_us']} us: {said}", flush=True)


def told(records: Records, window_us: int) -> dict[str, Any]:
    """For the file of results."""
    own = [record for record in records if record["window_us"] == window_us]
    scans = [record for record in own if record["scan"] is not None]
    p = next((record["p"] for record in own if record["scan"] is None), 0.0)
    found = sorted(record["after_s"] for record in scans if record["found"])
    return {
        "p_per_burst": p,
        "bursts_for_p": BURSTS,
        "scans": len(scans),
        "found": len(found),
        "is_enough": p < WORTH_FINDING or len(found) >= WANTED * len(scans),
        "seconds_median": found[len(found) // 2] if found else None,
        "seconds_most": found[-1] if found else None,
        "load_most": max((record["load"] for record in scans), default=0.0),
        "misses": [record for record in scans if not record["found"]],
    }


if __name__ == "__main__":
    sys.exit(main())
