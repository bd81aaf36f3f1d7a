"""The service on Starlette, its endpoint a coroutine or a plain function."""

from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.guard.adapters.on_asgi import OnLoop
from tests.guard.adapters.service import Produced, Refusal
from tocsin.guard import Signed, Transaction


def response(produced: Produced) -> Response:
    made = Response(produced.body) if produced.parts is None else StreamingResponse(iter(produced.parts))
    made.status_code = produced.status
    made.raw_headers = [(name.lower().encode(), value.encode()) for name, value in produced.headers]
    if produced.afterwards is not None:
        made.background = BackgroundTask(produced.afterwards)
    return made


class OnStarlette(OnLoop):
    def serve(self, route: dict[str, Any]) -> None:
        @self.guard.starlette(**route)
        async def order(request: Request, signed: Signed, tx: Transaction) -> Response:
            assert await request.body() == signed.body
            await self.pass_gate()
            return self.answer(signed, tx)

        self.app = Starlette(routes=[Route("/order", order, methods=["POST"])])

    def answer(self, signed: Signed, tx: Transaction) -> Response:
        try:
            return response(self.run(signed, tx))
        except Refusal as refusal:
            raise HTTPException(refusal.status) from None


class OnStarletteThreads(OnStarlette):
    def serve(self, route: dict[str, Any]) -> None:
        @self.guard.starlette(**route)
        def order(_request: Request, signed: Signed, tx: Transaction) -> Response:
            if self.gate is not None:
                self.gate.stand()
            return self.answer(signed, tx)

        self.app = Starlette(routes=[Route("/order", order, methods=["POST"])])
