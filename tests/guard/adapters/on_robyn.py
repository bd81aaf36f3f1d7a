"""The service on Robyn, its endpoint a plain function or a coroutine, called as Robyn's router calls it.

What Actix makes of requests and answers is not here: test_servers.py has it whole.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from robyn import Headers, Request, Response, Robyn, StreamingResponse
from robyn.exceptions import HTTPException
from robyn.robyn import QueryParams, Url

from tests.guard.adapters.on_asgi import OnLoop
from tests.guard.adapters.service import Produced, Refusal, Reply, Service
from tocsin.guard import Signed, Transaction
from tocsin.signing import Header


def response(produced: Produced) -> Response | StreamingResponse:
    headers = Headers({})
    for name, value in produced.headers:
        headers.append(name, value)
    if produced.parts is None:
        return Response(produced.status, headers, produced.body)
    return StreamingResponse(iter(produced.parts), produced.status, headers, "")  # type: ignore[arg-type]


def request_of(target: str, headers: tuple[Header, ...], body: bytes) -> Request:
    """As Robyn makes it of what Actix has read."""
    path, _, query = target.partition("?")
    fields, parameters = Headers({}), QueryParams()
    for name, value in headers:
        fields.append(name.lower(), value)
    for parameter in filter(None, query.split("&")):
        name, _, value = parameter.partition("=")
        parameters.set(name, value)
    given: Any = (parameters, fields, {}, body, "POST", Url("http", "shop.example", path), {}, {}, None, "127.0.0.1")
    return Request(*given)


def reply_of(answer: Response) -> Reply:
    """As Actix sends it; the order of its fields is nobody's."""
    body = answer.description.encode() if isinstance(answer.description, str) else bytes(answer.description)
    headers = sorted(answer.headers.multi_items(), key=lambda field: field[0].lower())
    if answer.status_code != 204:
        headers.append(("content-length", str(len(body))))
    return Reply(answer.status_code, tuple(headers), body)


class OnRobyn(Service):
    has_views = False
    has_afterwards = False
    ends_bodies = False

    def serve(self, route: dict[str, Any]) -> None:
        self.robyn = Robyn(__file__)

        @self.robyn.post("/order")  # type: ignore[untyped-decorator]
        @self.guard.robyn(**({"name": "/order"} | route))
        def order(_request: Request, signed: Signed, tx: Transaction) -> Response | StreamingResponse:
            if self.gate is not None:
                self.gate.stand()
            return self.answer(signed, tx)

    def answer(self, signed: Signed, tx: Transaction) -> Response | StreamingResponse:
        try:
            return response(self.run(signed, tx))
        except Refusal as refusal:
            raise HTTPException(refusal.status) from None

    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        whole = body if isinstance(body, bytes) else b"".join(body)
        return self.called(request_of(target, headers, whole))

    def called(self, request: Request) -> Reply:
        return reply_of(self.endpoint(request))

    @property
    def endpoint(self) -> Any:
        [found] = [route for route in self.robyn.router.get_routes() if route.route == "/order"]
        return found.function.handler


class OnRobynTasks(OnRobyn, OnLoop):
    def serve(self, route: dict[str, Any]) -> None:
        self.robyn = Robyn(__file__)

        @self.robyn.post("/order")  # type: ignore[untyped-decorator]
        @self.guard.robyn(**({"name": "/order"} | route))
        async def order(_request: Request, signed: Signed, tx: Transaction) -> Response | StreamingResponse:
            await self.pass_gate()
            await asyncio.sleep(0)
            return self.answer(signed, tx)

    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        return OnRobyn.request(self, target, headers, body)

    def called(self, request: Request) -> Reply:
        return reply_of(self.loop.run(self.endpoint(request)))
