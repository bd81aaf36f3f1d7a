"""The service as an ASGI application that is written in no framework."""

import asyncio
from collections.abc import Iterable
from typing import Any

from tests.guard.adapters.asgi_client import App, Exchange, Loop
from tests.guard.adapters.service import Reply, Service
from tocsin.guard.adapters.asgi import SIGNED, TX
from tocsin.signing import Header


class OnLoop(Service):
    """What is called on an event loop."""

    loop: Loop
    app: App

    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        return self.loop.run(Exchange(target, headers, body).call(self.app))

    async def pass_gate(self) -> None:
        if self.gate is not None:
            await asyncio.to_thread(self.gate.stand)


class OnASGI(OnLoop):
    has_http_errors = False
    has_views = False

    def serve(self, route: dict[str, Any]) -> None:
        async def order(scope: Any, receive: Any, send: Any) -> None:
            del receive
            await self.pass_gate()
            produced = self.run(scope[SIGNED], scope[TX])
            headers = [(name.lower().encode(), value.encode()) for name, value in produced.headers]
            await send({"type": "http.response.start", "status": produced.status, "headers": headers})
            if produced.parts is not None:
                for part in produced.parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": produced.body if produced.parts is None else b""})
            if produced.afterwards is not None:
                produced.afterwards()

        self.app = self.guard.asgi(**({"name": "/order"} | route))(order)
