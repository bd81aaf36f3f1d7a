"""A real service on loopback that verifies and keeps what it got, and one of another origin that keeps everything."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tocsin.signing import PRESETS, KeyRing, Message, Rejected, Scheme, Secret, Verified, verify

SECRET = Secret(b"0123456789abcdef0123456789abcdef", "k1")


@dataclass
class Service:
    """What arrived.

    Args:
        url: the origin it is called by.
        scheme: how requests should be signed.
        now: its clock.
        redirects: status and place that a path is answered with.
    """

    url: str
    scheme: Scheme = PRESETS["tocsin-v1"]
    now: float = 1_700_000_000
    redirects: dict[str, tuple[int, str]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    verdicts: list[Verified | Rejected] = field(default_factory=list)

    def take(self, message: Message) -> int:
        self.messages.append(message)
        try:
            self.verdicts.append(verify(message, self.scheme, KeyRing.of(SECRET), now=self.now))
        except Rejected as rejected:
            self.verdicts.append(rejected)
            return 401
        return 200

    @property
    def ids(self) -> list[str | None]:
        return [verdict.message_id if isinstance(verdict, Verified) else None for verdict in self.verdicts]


def body_of(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
    body = bytearray()
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return bytes(body)


@pytest.fixture
def make_service() -> Iterator[Any]:
    """Starts services, each on an origin of its own."""
    started: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def make() -> Service:
        made: Service

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = tuple(self.headers.items())
                message = Message(self.command, self.path, headers, body_of(self), made.url)
                status, place = made.redirects.get(self.path, (0, ""))
                judged = made.take(message)
                self.send_response(status or judged)
                self.send_header("Content-Length", "0")
                if place:
                    self.send_header("Location", place)
                self.end_headers()

            do_GET = do_POST  # noqa: N815  the name that http.server calls

            def log_message(self, *_args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        made = Service(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        started.append((server, thread))
        return made

    yield make
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def service(make_service: Any) -> Service:
    """The service that verifies."""
    made: Service = make_service()
    return made


@pytest.fixture
def elsewhere(make_service: Any) -> Service:
    """A service of another origin."""
    made: Service = make_service()
    return made
