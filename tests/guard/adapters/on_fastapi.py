"""The service on FastAPI, its endpoint a coroutine or a plain function."""

from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import Response, StreamingResponse
from starlette.background import BackgroundTask

from tests.guard.adapters.on_asgi import OnLoop
from tests.guard.adapters.service import Produced, Refusal
from tocsin.guard import Signed, Transaction


def response(produced: Produced) -> Response:
    made: Response = Response(produced.body) if produced.parts is None else StreamingResponse(iter(produced.parts))
    made.status_code = produced.status
    made.raw_headers = [(name.lower().encode(), value.encode()) for name, value in produced.headers]
    if produced.afterwards is not None:
        made.background = BackgroundTask(produced.afterwards)
    return made


class OnFastAPI(OnLoop):
    def serve(self, route: dict[str, Any]) -> None:
        self.app = self.api = FastAPI()

        @self.api.post("/order")
        @self.guard.fastapi(**route)
        async def order(signed: Signed, tx: Transaction) -> Response:
            await self.pass_gate()
            return self.answer(signed, tx)

    def answer(self, signed: Signed, tx: Transaction) -> Response:
        try:
            return response(self.run(signed, tx))
        except Refusal as refusal:
            raise HTTPException(refusal.status) from None


class OnFastAPIThreads(OnFastAPI):
    def serve(self, route: dict[str, Any]) -> None:
        self.app = self.api = FastAPI()

        @self.api.post("/order")
        @self.guard.fastapi(**route)
        def order(signed: Signed, tx: Transaction) -> Response:
            if self.gate is not None:
                self.gate.stand()
            return self.answer(signed, tx)
