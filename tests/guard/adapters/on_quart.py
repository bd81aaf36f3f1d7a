"""The service on Quart, its view a coroutine or a plain function.

Called as Quart's connection calls it, but in the task of the caller: Quart makes one of its own, and an event loop ends
when SystemExit leaves a task. test_servers.py has it whole.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from quart import Quart, Response, abort, after_this_request

from tests.guard.adapters.asgi_client import Event, Exchange
from tests.guard.adapters.on_asgi import OnLoop
from tests.guard.adapters.service import Produced, Refusal
from tocsin.guard import Signed, Transaction


async def as_quart_does(app: Quart, sent: Exchange) -> None:
    """One request through Quart's own connection."""
    scope: Any = sent.scope
    connection = app.asgi_http_class(app, scope)
    send: Any = sent.send
    request = connection._create_request_from_scope(send)  # type: ignore[attr-defined]

    async def receive() -> Event:
        # As on a socket: others have their turn before more is there.
        await asyncio.sleep(0)
        return await sent.receive()

    receiving = asyncio.ensure_future(connection.handle_messages(request, receive))  # type: ignore[attr-defined]
    try:
        await connection.handle_request(request, send)  # type: ignore[attr-defined]
    finally:
        receiving.cancel()
        await asyncio.wait([receiving])


async def pieces(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)


def response(produced: Produced) -> Response:
    made = Response(produced.body if produced.parts is None else pieces(produced.parts), produced.status)
    made.headers.clear()
    made.headers.extend(produced.headers)
    return made


class OnQuart(OnLoop):
    def serve(self, route: dict[str, Any]) -> None:
        self.quart = Quart("shop")
        # What a view raises is raised, and not made 500 of.
        self.quart.config["PROPAGATE_EXCEPTIONS"] = True
        self.add(route)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            del scope, send
            await as_quart_does(self.quart, receive.__self__)

        self.app = app

    def add(self, route: dict[str, Any]) -> None:
        @self.quart.post("/order")
        @self.guard.quart(**route)
        async def order(signed: Signed, tx: Transaction) -> Response:
            await self.pass_gate()
            return self.answer(signed, tx)

    def answer(self, signed: Signed, tx: Transaction) -> Response:
        try:
            produced = self.run(signed, tx)
        except Refusal as refusal:
            abort(refusal.status)
        if produced.afterwards is not None:
            afterwards = produced.afterwards

            @after_this_request
            def follow(made: Any) -> Any:
                afterwards()
                return made

        return response(produced)


class OnQuartThreads(OnQuart):
    def add(self, route: dict[str, Any]) -> None:
        @self.quart.post("/order")
        @self.guard.quart(**route)
        def order(signed: Signed, tx: Transaction) -> Response:
            if self.gate is not None:
                self.gate.stand()
            return self.answer(signed, tx)
