"""A desk on a loopback port that the kernel chooses, a thread a connection; it can die in the middle of a burst."""

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.scan.services.desk import Answer, Asked, Desk


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False
    desk: Desk

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is nobody's error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    server: _Server

    def _serve(self) -> None:
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        if not self.server.desk.reads_bodies and self._is_held_back():
            self.close_connection = True
            self._send(self.server.desk.answer(Asked(self.command, self.path, headers, b"")))
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.desk.answer(Asked(self.command, self.path, headers, body))
        self.close_connection = True
        desk = self.server.desk
        if not desk.is_open:
            stop(self.server)
        if answer.status and (desk.is_open or desk.answers_last):
            self._send(answer)

    def _is_held_back(self) -> bool:
        """Whether the last byte of the body is not there yet."""
        length = int(self.headers.get("Content-Length", 0))
        assert isinstance(self.rfile, io.BufferedReader)
        return length > 0 and len(self.rfile.peek(length)) < length

    def _send(self, answer: Answer) -> None:
        content = b"" if answer.document is None else json.dumps(answer.document).encode()
        self.send_response_only(answer.status)
        for name, value in (answer.headers or {}).items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_OPTIONS = do_PUT = _serve  # noqa: N815  the names that http.server asks for


def stop(server: ThreadingHTTPServer) -> None:
    """Nobody listens any more; those that are connected get no answer."""
    server.shutdown()
    with contextlib.suppress(OSError):
        server.socket.close()


@contextmanager
def serving(desk: Desk) -> Iterator[Desk]:
    """The desk, reachable at its `base_url`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.desk = desk
    desk.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield desk
    finally:
        desk.closed.set()
        stop(server)
        server.server_close()
        thread.join()
