"""A small signed service on a real loopback socket. Every defence is a method, so that a twin can lack one."""

import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

SECRET = "a secret of the shop"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


@dataclass(frozen=True)
class Answer:
    """What is answered; a status of 0 closes the connection without a word."""

    status: int
    body: Mapping[str, object] | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Shop:
    """Orders: verified over the raw body, remembered by id, counted. Twins override one method."""

    signature_header: ClassVar[str] = "X-Signature"

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.applied: Counter[str] = Counter()
        self.stock: Counter[str] = Counter()
        self.asked: list[Asked] = []
        self.open_connections = 0
        self.most_connections = 1000
        self.base_url = ""

    def content(self, asked: Asked) -> bytes:
        """What the signature is over."""
        return asked.body

    def signature(self, asked: Asked) -> str:
        return asked.header(self.signature_header)

    def is_signed(self, asked: Asked) -> bool:
        wanted = hmac.new(SECRET.encode(), self.content(asked), hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted.encode(), self.signature(asked).encode("latin-1"))

    def now(self) -> float:
        return time.time()

    def is_timely(self, _asked: Asked) -> bool:
        return True

    def before_verification(self, _asked: Asked) -> Answer | None:
        """What is answered before the signature is looked at; None: nothing is."""
        return None

    def parse(self, asked: Asked) -> dict[str, Any] | None:
        """The order in a body, None if it is none."""
        try:
            order = json.loads(asked.body)
        except ValueError:
            return None
        is_order = isinstance(order, dict) and isinstance(order.get("id"), str) and order["id"] != ""
        return order if is_order else None

    def is_new(self, order: dict[str, Any], _asked: Asked) -> bool:
        return order["id"] not in self.applied

    def apply(self, order: dict[str, Any], _asked: Asked) -> Answer:
        self.applied[str(order["id"])] += 1
        return Answer(200, {"status": "processed"})

    def order(self, asked: Asked) -> Answer:
        early = self.before_verification(asked)
        if early is not None:
            return early
        if not self.is_signed(asked) or not self.is_timely(asked):
            return Answer(401, {"error": "signature"})
        return self.verified(asked)

    def verified(self, asked: Asked) -> Answer:
        order = self.parse(asked)
        if order is None:
            return Answer(400, {"error": "order"})
        if not self.is_new(order, asked):
            return Answer(200, {"status": "duplicate"})
        return self.apply(order, asked)

    def read(self, asked: Asked) -> Answer:
        if asked.path == "/count":
            return Answer(200, {"count": self.applied.total()})
        return Answer(200, {"count": self.applied[asked.path.removeprefix("/orders/")]})

    def other(self, _asked: Asked) -> Answer:
        """Any other route."""
        return Answer(404)

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
            if asked.method == "GET":
                return self.read(asked)
            if asked.path == "/reset":
                return Answer(200)
            if asked.path == "/orders":
                return self.order(asked)
            return self.other(asked)

    def date(self) -> str | None:
        """The Date of every answer."""
        return formatdate(self.now(), usegmt=True)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False
    shop: Shop

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.shop.lock:
            self.shop.open_connections += 1
            admitted = self.shop.open_connections <= self.shop.most_connections
        if not admitted:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.shop.lock:
            self.shop.open_connections -= 1
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is nobody's error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.shop.answer(Asked(self.command, self.path, headers, body))
        self.close_connection = True
        if answer.status == 0:
            return
        content = json.dumps(answer.body or {}).encode()
        self.send_response_only(answer.status)
        date = self.server.shop.date()
        own = (("Date", date),) if date is not None else ()
        for name, value in (*own, *answer.headers, ("Content-Length", str(len(content))), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815  the names that http.server asks for


@contextmanager
def serving(shop: Shop) -> Iterator[Shop]:
    """The shop on a loopback port that the kernel chooses."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.shop = shop
    shop.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
