"""Ways of sending a burst, each in a process of its own: `python bench/_senders.py METHOD`, by the Python that has it.

Reads {"url", "n", "body", "signature", "ca", "protocol"} a line, sends the burst, waits for the answers, and writes a
line: {"void", "style"}. Nothing is imported before the method is known, so that each process holds one client library.
"""

import argparse
import asyncio
import http.client
import json
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

# What h2spacex's own examples wait before the last frames.
DOCUMENTED_WAIT_S = 0.1
HOLD_S = 0.03


@dataclass(frozen=True)
class Asked:
    """One burst."""

    url: str
    n: int
    body: str
    signature: str
    ca: str
    protocol: str = "auto"

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "x-signature": self.signature}

    @property
    def where(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0


Told = dict[str, str]
Method = Callable[[Asked], Told]
OURS = ("last-byte", "threads", "last-frame", "empty-end", "whole", "record")


def ours(style: str) -> Method:
    """One style of Tocsin's, or all in rotation, learning as a scan does: from answers, and from what it reads."""
    from dataclasses import replace

    from tocsin.scan._styles import Rotation, answer_gap_us
    from tocsin.wire import Address, Burst, Protocol, Trust, chosen, deliver, exchange, request_bytes, styles_of

    rng = random.Random(7)
    known: dict[str, tuple[Address, Rotation]] = {}
    has_hit: set[int] = set()

    def hit(asked: Asked, address: Address) -> bool | None:
        path = f"/burst?id={json.loads(asked.body)['id']}"
        read = exchange(request_bytes("GET", path, [], b"", host=address.authority), address, timeout_s=5)
        too_many = bool(json.loads(read.body)["effects"] > 1)
        if too_many:
            has_hit.add(asked.n)
        return too_many if asked.n in has_hit else None

    def send(asked: Asked) -> Told:
        origin = asked.url.removesuffix("/order")
        if origin not in known:
            trust, protocol = Trust(asked.ca), cast("Protocol", asked.protocol)
            address = chosen(replace(Address.resolve(origin), trust=trust, protocol=protocol), timeout_s=5)
            known[origin] = address, Rotation(list(styles_of(address)))
        address, rotation = known[origin]
        request = request_bytes(
            "POST", "/order", list(asked.headers.items()), asked.body.encode(), host=address.authority
        )
        chosen_style: Any = rotation.next(asked.n) if style == "rotation" else style
        burst = Burst((request,) * asked.n, ("order",) * asked.n, style=chosen_style, hold_s=HOLD_S)
        delivery = deliver(burst, address, rng=rng)
        if delivery.void:
            rotation.undelivered(chosen_style, delivery.void)
        else:
            gap_us = answer_gap_us(delivery.history, {"200"})
            rotation.delivered(chosen_style, asked.n, gap_us, hit=hit(asked, address) if style == "rotation" else None)
        return {"void": delivery.void, "style": delivery.style}

    return send


def httpx(asked: Asked) -> Told:
    """httpx, all gathered, by what ALPN gives."""
    import httpx as library

    async def gathered() -> None:
        verify = ssl.create_default_context(cafile=asked.ca) if asked.ca else True
        async with library.AsyncClient(http2=bool(asked.ca), verify=verify, trust_env=False) as client:
            post = (client.post(asked.url, content=asked.body, headers=asked.headers) for _ in range(asked.n))
            await asyncio.gather(*post)

    asyncio.run(gathered())
    return {"void": ""}


def aiohttp(asked: Asked) -> Told:
    """aiohttp, all gathered."""
    import aiohttp as library

    async def gathered() -> None:
        verify: Any = ssl.create_default_context(cafile=asked.ca) if asked.ca else True
        connector = library.TCPConnector(limit=0, ssl=verify)
        async with library.ClientSession(connector=connector) as session:

            async def post() -> None:
                async with session.post(asked.url, data=asked.body, headers=asked.headers) as response:
                    await response.read()

            await asyncio.gather(*(post() for _ in range(asked.n)))

    asyncio.run(gathered())
    return {"void": ""}


def requests_barrier(asked: Asked) -> Told:
    """A thread per request, all released by a barrier."""
    import requests as library

    start = threading.Barrier(asked.n, timeout=10)

    def post() -> None:
        with library.Session() as session:
            session.trust_env = False
            start.wait()
            session.post(asked.url, data=asked.body, headers=asked.headers, verify=asked.ca or True, timeout=10)

    in_threads([post] * asked.n)
    return {"void": ""}


def fresh_threads(asked: Asked) -> Told:
    """What a script does with the standard library: all but the last byte, then a fresh thread for each of those."""
    host, port = asked.where
    context = ssl.create_default_context(cafile=asked.ca) if asked.ca else None
    connections: list[http.client.HTTPConnection] = []
    body = asked.body.encode()
    for _ in range(asked.n):
        connection = (
            http.client.HTTPSConnection(host, port, context=context)
            if context
            else http.client.HTTPConnection(host, port)
        )
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.putrequest("POST", "/order")
        for name, value in (asked.headers | {"content-length": str(len(body))}).items():
            connection.putheader(name, value)
        connection.endheaders(body[:-1])
        connections.append(connection)
    time.sleep(HOLD_S)

    def release(connection: http.client.HTTPConnection) -> Callable[[], None]:
        return lambda: connection.sock.sendall(body[-1:])

    in_threads([release(connection) for connection in connections])
    for connection in connections:
        connection.getresponse().read()
        connection.close()
    return {"void": ""}


def in_threads(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def h2spacex(asked: Asked) -> Told:
    """h2spacex over TLS, as documented; its socket is read by us, for its reader ends by a time-out only."""
    from h2spacex import H2OnTlsConnection  # type: ignore[import-not-found]  # in the peers' environment only

    host, port = asked.where
    connection = H2OnTlsConnection(hostname=host, port_number=port)
    connection.setup_connection()
    streams = connection.generate_stream_ids(number_of_streams=asked.n)
    early, last = [], []
    given = "\n".join(f"{name}: {value}" for name, value in asked.headers.items()) + "\n"
    for stream in streams:
        prefix, final = connection.create_single_packet_http2_post_request_frames(
            method="POST",
            headers_string=given,
            scheme="https",
            stream_id=stream,
            authority=f"{host}:{port}",
            body=asked.body,
            path="/order",
        )
        early.append(bytes(prefix))
        last.append(bytes(final))
    connection.send_bytes(b"".join(early))
    time.sleep(DOCUMENTED_WAIT_S)
    connection.send_ping_frame()
    connection.send_bytes(b"".join(last))
    complete = read_ends(connection.get_using_socket(), asked.n)
    connection.close_connection()
    return {"void": "" if complete else "not all streams were answered"}


def webracecondition(asked: Asked) -> Told:
    """webracecondition's last-frame synchronisation over TLS."""
    from webracecondition import Engine, Request  # type: ignore[import-not-found]  # as above

    engine = Engine(asked.url.removesuffix("/order"), verify=False)
    for _ in range(asked.n):
        engine.add_request(Request("POST", "/order", headers=asked.headers, raw_body=asked.body.encode()))
    engine.last_frame_sync_attack(sleep_time=DOCUMENTED_WAIT_S, timeout=10)
    return {"void": ""}


def read_ends(connection: socket.socket, n: int) -> bool:
    """Read frames until so many streams have ended (RFC 9113 section 4.1)."""
    connection.settimeout(5)
    received, ended = b"", 0
    while ended < n:
        try:
            data = connection.recv(65536)
        except TimeoutError:
            return False
        if not data:
            return False
        received += data
        while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
            kind, flags = received[3], received[4]
            ended += kind in {0, 1} and bool(flags & 1)
            received = received[9 + int.from_bytes(received[:3], "big") :]
    return True


PEERS: dict[str, Method] = {
    "httpx": httpx,
    "aiohttp": aiohttp,
    "requests_barrier": requests_barrier,
    "fresh_threads": fresh_threads,
    "h2spacex": h2spacex,
    "webracecondition": webracecondition,
}
# What goes on over HTTP/2 only, and what over HTTP/1.1 only.
HTTP_2_ONLY = {"h2spacex", "webracecondition", "last-frame", "empty-end"}
HTTP_1_ONLY = {"aiohttp", "requests_barrier", "fresh_threads", "last-byte", "threads"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=[*PEERS, *OURS, "rotation"])
    name = parser.parse_args().method
    if name not in PEERS:
        sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
    method = PEERS[name] if name in PEERS else ours(name)
    answers, sys.stdout = sys.stdout, sys.stderr  # some libraries print
    for line in sys.stdin:
        try:
            told = method(Asked(**json.loads(line)))
        except Exception as error:  # noqa: BLE001  whatever a library raises, the burst was none
            told = {"void": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
