"""A listener for webhooks: an effect is a delivery that names the trial's operation. Edge: sockets, threads.

Rule: it listens on this machine alone, answers 204 to everything, and keeps of a delivery only the text at the pointer.
"""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import Sink, State
from tocsin.signing import PointerError, parse_json, resolve

_MOST_BYTES = 1024 * 1024
# Far more than a scan can cause; a service that sends on and on fills no memory.
_MOST_DELIVERIES = 100_000
_IDLE_S = 10.0
_CHUNK_BYTES = 65_536


@dataclass(slots=True)
class _Deliveries:
    """The bodies that have come, until it is known at which pointer to look."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    bodies: list[bytes] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def take(self, body: bytes) -> None:
        with self.lock:
            if len(self.bodies) + self.counted.total() < _MOST_DELIVERIES:
                self.bodies.append(body)

    def naming(self, pointer: str, text: str) -> int:
        """How many had this text at the pointer."""
        with self.lock:
            for body in self.bodies:
                self.counted[_text_at(body, pointer)] += 1
            self.bodies.clear()
            return self.counted[text]


class _Listener(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    deliveries: _Deliveries

    def handle_error(self, request: object, client_address: object) -> None:
        """A service that hangs up in the middle is nobody's error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    server: _Listener

    def _take(self) -> None:
        length = self.headers.get("Content-Length", "0")
        fits = length.isascii() and length.isdecimal() and int(length) <= _MOST_BYTES
        if not fits or "Transfer-Encoding" in self.headers:
            self._refuse()
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return  # cut off: no delivery
        self.server.deliveries.take(body)
        self.send_response_only(204)
        self.end_headers()

    def _refuse(self) -> None:
        """413, and read on for a while: closing with bytes unread would reset the connection and lose the answer.

        RFC 9112, section 9.6.
        """
        self.close_connection = True
        self.send_error(413)
        self.connection.shutdown(socket.SHUT_WR)
        for _ in range(16 * _MOST_BYTES // _CHUNK_BYTES):
            if not self.connection.recv(_CHUNK_BYTES):
                return

    do_POST = do_PUT = _take  # noqa: N815  the names that http.server asks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as http.server calls it
        """What comes in is counted, not told."""


def open_sink(source: Sink, _folder: Path, closing: ExitStack) -> Callable[[State, Mapping[str, str]], Decimal]:
    """Listen until `closing` closes. The reader's `url` says where. Raises CannotTell if the port is taken."""
    host, _, port = source.address.rpartition(":")
    try:
        listener = _Listener((host.strip("[]"), int(port)), _Handler)
    except OSError as error:
        raise CannotTell(f"nothing can listen on {source.address}: {error.strerror}") from None
    listener.deliveries = _Deliveries()
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    closing.callback(thread.join)
    closing.callback(listener.server_close)
    closing.callback(listener.shutdown)
    return SinkReading(source, listener.deliveries, f"http://{host}:{listener.server_address[1]}/")


@dataclass(frozen=True, slots=True)
class SinkReading:
    """What counts, and where deliveries are to go."""

    source: Sink
    deliveries: _Deliveries
    url: str

    def __call__(self, state: State, values: Mapping[str, str]) -> Decimal:
        """How many deliveries of the trial have come."""
        return Decimal(self.deliveries.naming(state.pointer, self.source.equals.render(values)))


def _text_at(body: bytes, pointer: str) -> str:
    """The string or number at a pointer; what has none there is nobody's delivery."""
    try:
        found = resolve(parse_json(body), pointer)
    except PointerError:
        return ""
    return str(found) if isinstance(found, (str, int, float)) and not isinstance(found, bool) else ""
