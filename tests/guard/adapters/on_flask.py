"""The service on Flask."""

import io
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, abort

from tests.guard.adapters.service import Produced, Refusal, Reply, Service
from tocsin.guard import Signed, Transaction
from tocsin.signing import Header


class OnFlask(Service):
    def serve(self, route: dict[str, Any]) -> None:
        self.app = Flask("shop")
        self.app.testing = True

        @self.app.post("/order")
        @self.guard.flask(**route)
        def order(signed: Signed, tx: Transaction) -> Response:
            if self.gate is not None:
                self.gate.stand()
            try:
                return self._response(self.run(signed, tx))
            except Refusal as refusal:
                abort(refusal.status)

    @staticmethod
    def _response(produced: Produced) -> Response:
        response = Response(produced.body if produced.parts is None else produced.parts, produced.status)
        response.headers.clear()
        response.headers.extend(produced.headers)
        if produced.afterwards is not None:
            response.call_on_close(produced.afterwards)
        return response

    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        sent: dict[str, Any] = {"data": body}
        if not isinstance(body, bytes):
            chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
            sent = {"environ_overrides": {"wsgi.input": io.BufferedReader(_Parts(body)), **chunked}}
        client = self.app.test_client(use_cookies=False)
        answer = client.post(target, headers=list(headers), buffered=True, **sent)
        return Reply(answer.status_code, tuple(answer.headers), answer.data)


class _Parts(io.RawIOBase):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = next(self._parts, b"")
        buffer[: len(part)] = part
        return len(part)
