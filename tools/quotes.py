"""The sentences of the README that quote numbers, made from bench/results.

python -m tools.quotes          prints them
python -m tools.quotes --write  puts them into the README, between their markers
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from bench._senders import PEERS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def quotes() -> dict[str, str]:
    """Each quoted sentence by the name of its marker."""
    return {
        "serving": _serving(_result("serving")),
        "crash": _crash(_result("crash")),
        "matrix": _matrix(_result("crash_matrix")),
        "truth": _truth(_result("truth")),
        "detection": _detection(_result("detection")),
        "generated": _generated(_result("generated")),
        "delivery": _delivery(),
        "overlap": _overlap(_result("overlap")),
        "peers": _peers(),
        "outbox": _outbox(_result("outbox")),
    }


def applied(text: str) -> str:
    """A text with every marked sentence replaced by the one that bench/results supports."""
    sentences = quotes()
    return re.sub(
        r"(<!-- (\w+) -->\n).*?(\n<!-- end -->)",
        lambda found: found[1] + sentences[found[2]] + found[3],
        text,
        flags=re.DOTALL,
    )


def _serving(result: dict[str, Any]) -> str:
    rows = [f"| {row['title']} | {row['median']:.2f} |" for row in result["table"]]
    refused = sum(bad for name, bad in result["not_2xx_or_unanswered"].items() if name.startswith("guarded"))
    table = "\n".join(("| answers a second, or p99 where it says so | ratio |", "|---|---|", *rows))
    frozen = (
        "Services on an event loop are frozen (`gc.freeze`) after their start, guarded or not, but where it says that\n"
        "garbage is collected as it comes."
    )
    other = f"Other answers of guarded services than 2xx, with 256 clients and slow disks too: {refused}."
    return f"{table}\n\n{frozen} {other}"


def _crash(result: dict[str, Any]) -> str:
    applied_unanswered, cut_off = result["unanswered_but_applied"], result["unanswered_and_not_applied"]
    return (
        f"{result['orders']} orders in {result['rounds']} rounds. {applied_unanswered} of them were applied without an "
        f"answer, {cut_off} were cut off before\ntheir commit. Lost, applied twice or answered otherwise when sent "
        f"again: {len(result['wrong'])}."
    )


def _matrix(result: dict[str, Any]) -> str:
    faults, orders = (sum(row[name] for row in result["rows"]) for name in ("rounds", "orders"))
    wrong = sum(len(row["wrong"]) for row in result["rows"])
    return f"{faults} faults among {orders} orders. Lost, applied twice or stuck: {wrong}."


def _truth(result: dict[str, Any]) -> str:
    kinds = [kind for kind in result["kinds"].values() if kind["scans"]]
    scans, right = sum(kind["scans"] for kind in kinds), sum(kind["as_expected"] for kind in kinds)
    routes = {title for kind in kinds for title in kind["services"]}
    services = {title.partition("/")[0] for title in routes}
    said = [line for one in result["wrong"] for line in one["wrong"] if not line.startswith("  ")]
    false = [line for line in said if "INCONCLUSIVE, expected" not in line]
    on_routes = f" and {len(routes)} routes" if len(routes) > len(services) else ""
    return (
        f"{right} of {scans} scans of {len(services)} services{on_routes} said exactly what is true of each, all "
        f"fourteen checks;\n{scans - right or 'none'} left a check INCONCLUSIVE that should not be, "
        f"and {len(false) or 'none'} said what is false."
    )


def _detection(result: dict[str, Any]) -> str:
    windows = result["windows"].values()
    scans, found = sum(one["scans"] for one in windows), sum(one["found"] for one in windows)
    return (
        f"Races with windows from natural to 5 ms were found in {found} of {scans} scans, control included in "
        f"{max(one['seconds_most'] for one in windows):.1f} s at most."
    )


def _generated(result: dict[str, Any]) -> str:
    checks = result["checks"].values()
    missed = sum(one["recall"]["of"] - one["recall"]["right"] for one in checks)
    invented = sum(one["precision"]["of"] - one["precision"]["right"] for one in checks)
    return (
        f"Of {result['services']} services made from seeds never used before, {result['as_expected']} were told "
        f"exactly as they were made;\n"
        f"holes missed: {missed} of {sum(one['recall']['of'] for one in checks)}, invented: {invented}."
    )


def _outbox(result: dict[str, Any]) -> str:
    databases = result["databases"].values()
    kills, orders, repeated = (sum(row[name] for row in databases) for name in ("rounds", "orders", "repeated"))
    wrong = sum(len(row["wrong"]) for row in databases)
    return (
        f"{kills} kills among {orders} orders on SQLite and PostgreSQL; {repeated} sendings were repeated under "
        f"their id.\n"
        f"Lost, invented or under two ids: {wrong}."
    )


def _delivery() -> str:
    result = _result("delivery")
    sink, server = result["sink n=20"], result["hypercorn n=20"]
    ours, theirs = (sink[name]["spread_ms_p50"] for name in ("last-byte", "requests_barrier"))
    return (
        f"20 requests arrive within {ours:.2f} ms of each other over HTTP/1.1 (median, kernel receive stamps on "
        f"loopback),\nand within {server['last-frame']['spread_ms_p50']:.2f} ms over HTTP/2 (handlers' own stamps);\n"
        f"from threads with a barrier and `requests`, in the same run, within {theirs:.1f} ms."
    )


def _overlap(result: dict[str, Any]) -> str:
    services = [sizes for name, sizes in result.items() if name != "host"]
    cells = [cell for sizes in services for cell in sizes.values()]
    least = min(cell["rounds"] for cell in cells)
    looped = result["uvicorn"]["n=2"]
    peers = [share for name, share in looped["all"].items() if name in PEERS]
    behind = -min(cell["lower_limit_95"] for cell in cells)
    return (
        f"On uvicorn two requests ran through each other in {looped['rotation']:.0%} of the bursts, "
        f"those of the best of {len(peers)} peers in {max(peers):.0%}.\n"
        f"On {len(services)} kinds of server, with 2 and with 20 requests, {least} bursts or more of each method: "
        f"a scan learns which style\nsuits a server, and its probability to overlap stays within {behind:.2f} "
        f"(95 % limit) of whatever turns out best there, peers included."
    )


def _peers() -> str:
    results = _result("peers")["results"]
    right = {name: [case["is_right"] for case in result.values()] for name, result in results.items()}
    ours = [cases for name, cases in right.items() if name.startswith("tocsin")]
    # Of the cases that concern it: a decorator for functions sees no requests.
    shares = [sum(cases) / len(cases) for name, cases in right.items() if not name.startswith("tocsin")]
    return (
        f"{len(ours[0])} cases, from 64 identical requests at once to kill -9 between effect and record: right in "
        f"{min(map(sum, ours))} of them\non FastAPI and on Flask. {len(shares)} libraries from PyPI, in the same run: "
        f"right in {min(shares):.0%} to {max(shares):.0%} of those that concern them."
    )


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())
    return result


def main() -> int:
    if "--write" in sys.argv:
        README.write_text(applied(README.read_text()))
    print("\n\n".join(quotes().values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
