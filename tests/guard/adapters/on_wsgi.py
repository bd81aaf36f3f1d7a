"""The service as a WSGI application that is written in no framework."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any
from wsgiref.util import setup_testing_defaults

from tests.guard.adapters.service import Produced, Reply, Service
from tocsin.guard.adapters.wsgi import SIGNED, TX
from tocsin.signing import Header


class OnWSGI(Service):
    has_http_errors = False
    has_views = False

    def serve(self, route: dict[str, Any]) -> None:
        def order(environ: Any, start_response: Any) -> Iterable[bytes]:
            if self.gate is not None:
                self.gate.stand()
            produced = self.run(environ[SIGNED], environ[TX])
            start_response(f"{produced.status} {HTTPStatus(produced.status).phrase}", list(produced.headers))
            return Answer(produced)

        self.app = self.guard.wsgi(**({"name": "/order"} | route))(order)

    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        return call(self.app, environ_of(target, headers, body))


class Answer:
    """The iterable of an application that does something when the server is done with it."""

    def __init__(self, produced: Produced) -> None:
        self._produced = produced

    def __iter__(self) -> Iterator[bytes]:
        return iter([self._produced.body] if self._produced.parts is None else self._produced.parts)

    def close(self) -> None:
        if self._produced.afterwards is not None:
            self._produced.afterwards()


def environ_of(
    target: str = "/order", headers: tuple[Header, ...] = (), body: bytes | Iterable[bytes] = b"", **more: object
) -> dict[str, Any]:
    """What a server makes of a request; fields of one name are joined, as servers do."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "RAW_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else io.BufferedReader(Parts(body)),
        "wsgi.errors": sys.stderr,
    }
    if isinstance(body, bytes):
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        environ |= {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    for name, value in headers:
        key = name.upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ and key != "CONTENT_LENGTH" else value
    setup_testing_defaults(environ)
    return environ | more


def call(app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> Reply:
    """What a client gets of an application, from a server that keeps to PEP 3333."""
    begun: list[Any] = []
    answer = app(environ, lambda status, headers, _exc_info=None: begun.append((status, headers)))
    try:
        body = b"".join(answer)
        ((status, headers),) = begun
        return Reply(int(status[:3]), tuple(headers), body)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()


class Parts(io.RawIOBase):
    """A body that comes in parts."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = next(self._parts, b"")
        buffer[: len(part)] = part
        return len(part)
