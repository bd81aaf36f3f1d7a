"""How closely do the requests of a burst arrive? `python bench/delivery.py [--rounds N]` -> bench/results/delivery.json

The sink, in a process of its own, answers each request with the kernel's stamp of its last segment, so no server's
work is in the figures. In every round each method sends one burst of each size, in shuffled order. Spread: last arrival
minus first. Ratios are medians over the pairs of one round. The baselines are what a script would do with the standard
library.
"""

import argparse
import http.client
import json
import os
import platform
import random
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from tocsin.wire import Address, Burst, deliver, request_bytes

SIZES = (2, 10, 20, 30)
BODY = b'{"order_id":"17","qty":1}!'  # the sink takes "!" for the end
RESULTS = Path(__file__).parent / "results" / "delivery.json"
SO_TIMESTAMPNS = 35
Send: TypeAlias = Callable[[Address, int], list[int]]
"""Delivers a burst of that size; the stamps of its arrivals, in nanoseconds."""


def sink() -> None:
    """Print a port, then answer every complete request with the kernel's stamp of its last segment."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # accepted connections inherit it
    print(listener.getsockname()[1], flush=True)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
            elif isinstance(key.fileobj, socket.socket):
                serve(selector, key.fileobj)


def serve(selector: selectors.BaseSelector, connection: socket.socket) -> None:
    try:
        data, notes, _, _ = connection.recvmsg(65536, 64)
    except ConnectionResetError:
        data, notes = b"", []
    if data and not data.endswith(b"!"):
        return
    if data:
        seconds, nanoseconds = struct.unpack("@ll", notes[0][2])
        stamp = str(seconds * 1_000_000_000 + nanoseconds)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(stamp)}\r\n\r\n{stamp}".encode())
    selector.unregister(connection)
    connection.close()


def last_byte_sync(rng: random.Random, address: Address, n: int) -> list[int]:
    request = request_bytes("POST", "/order", [], BODY, host=address.authority)
    delivery = deliver(Burst((request,) * n, ("order",) * n), address, rng=rng)
    assert not delivery.void, delivery.void
    return [int(response.body) for response in delivery.responses if response]


def barrier(address: Address, n: int, *, connected: bool) -> list[int]:
    """A thread per request; all wait at a barrier and then send whole requests."""
    start = threading.Barrier(n, timeout=10)
    stamps: list[int] = []

    def one() -> None:
        connection = http.client.HTTPConnection(address.ip, address.port)
        if connected:
            connection.connect()
        start.wait()
        connection.request("POST", "/order", BODY)
        stamps.append(int(connection.getresponse().read()))
        connection.close()

    threads = [threading.Thread(target=one) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return stamps


def measure(address: Address, methods: Mapping[str, Send], rounds: int, rng: random.Random) -> dict[str, object]:
    spreads_us: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(rounds):
        cells = [(name, n) for name in methods for n in SIZES]
        rng.shuffle(cells)
        for name, n in cells:
            stamps = methods[name](address, n)
            assert len(stamps) == n
            spreads_us[name, n].append((max(stamps) - min(stamps)) / 1000)
    return {f"n={n}": {name: summary(spreads_us[name, n], spreads_us["tocsin", n]) for name in methods} for n in SIZES}


def summary(spreads_us: Sequence[float], own_us: Sequence[float]) -> dict[str, float]:
    ratios = [theirs / max(ours, 0.001) for theirs, ours in zip(spreads_us, own_us, strict=True)]
    percentiles = statistics.quantiles(spreads_us, n=20)
    return {
        "spread_us_p50": round(statistics.median(spreads_us), 1),
        "spread_us_p95": round(percentiles[-1], 1),
        "times_tocsin": round(statistics.median(ratios), 1),
    }


def host() -> dict[str, object]:
    return {"python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=60, help="bursts per method and size (default 60, about a minute)"
    )
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sink:
        sink()
    rng = random.Random(7)
    methods: dict[str, Send] = {
        "tocsin": partial(last_byte_sync, rng),
        "barrier_connected": partial(barrier, connected=True),
        "barrier_connecting": partial(barrier, connected=False),
    }
    with subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = Address("http", "127.0.0.1", int(process.stdout.readline()), "127.0.0.1")
            result = {"host": host(), "rounds": arguments.rounds, **measure(address, methods, arguments.rounds, rng)}
        finally:
            process.terminate()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
