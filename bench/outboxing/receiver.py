"""A service that takes webhooks on a loopback port: it verifies them, keeps them, and answers as a test says."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.outboxing.places import SECRET
from tocsin.signing import KeyRing, Message, Rejected, Scheme, preset, verify

STANDARD = preset("standard-webhooks")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Delivery:
    """One sending as it came; header names in lower case."""

    headers: dict[str, str]
    body: bytes
    verified: bool

    @property
    def id(self) -> str:
        return self.headers["idempotency-key"].strip('"')


Answers = Callable[[Delivery], tuple[int, dict[str, str]]]


def accept(_delivery: Delivery) -> tuple[int, dict[str, str]]:
    return 204, {}


@dataclass
class Receiver:
    """What came, in order, under a condition that says when something came."""

    answers: Answers = accept
    scheme: Scheme = STANDARD
    came: list[Delivery] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def take(self, message: Message) -> tuple[int, dict[str, str]]:
        try:
            verify(message, self.scheme, KeyRing.of(SECRET), now=time.time())
            verified = True
        except Rejected:
            verified = False
        delivery = Delivery({name.lower(): value for name, value in message.headers}, message.body, verified)
        with self.arrived:
            self.came.append(delivery)
            self.arrived.notify_all()
        return self.answers(delivery)

    def wait_for(self, number: int) -> list[Delivery]:
        """The first deliveries, once there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.came) >= number, PATIENCE_S), f"{len(self.came)} came"
            return self.came[:number]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    receiver: Receiver

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is nobody's error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            # Its sender died in the middle of it: no request (RFC 9112 section 6.3).
            self.close_connection = True
            return
        status, headers = self.server.receiver.take(Message("POST", self.path, tuple(self.headers.items()), body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Tests say nothing."""


@contextmanager
def receiving(
    answers: Answers = accept, *, scheme: Scheme = STANDARD, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver, reachable at its `url`: by https with `tls`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = server.receiver = Receiver(answers, scheme)
    receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/hooks"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
