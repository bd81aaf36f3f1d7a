"""The service on Litestar, its handler a coroutine, a plain function or a controller's method."""

from typing import Any

from litestar import Controller, Litestar, Request, Response, post
from litestar.exceptions import HTTPException
from litestar.exceptions.responses import create_exception_response
from litestar.types import ASGIApp, Receive, Scope, Send

from tests.guard.adapters.on_asgi import OnLoop
from tests.guard.adapters.service import Produced, Refusal
from tocsin.guard import Signed, Transaction


class Raw:
    """An answer as it is: Litestar's own responses put a content type on everything, and fields into a mapping."""

    def __init__(self, produced: Produced) -> None:
        self._produced = produced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        produced = self._produced
        headers = [(name.lower().encode(), value.encode()) for name, value in produced.headers]
        parts = [produced.body] if produced.parts is None else produced.parts
        await send({"type": "http.response.start", "status": produced.status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if produced.afterwards is not None:
            produced.afterwards()


def raised(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar makes 500 of everything; the cases want to see what it was."""
    if isinstance(error, HTTPException):
        return create_exception_response(request, error)
    raise error


class OnLitestar(OnLoop):
    def serve(self, route: dict[str, Any]) -> None:
        @post("/order")
        @self.guard.litestar(**route)
        async def order(request: Request[Any, Any, Any], signed: Signed, tx: Transaction) -> ASGIApp:
            assert await request.body() == signed.body
            await self.pass_gate()
            return self.answer(signed, tx)

        self.app = self.made(order)

    def made(self, *handlers: Any) -> Any:
        return Litestar(
            list(handlers), exception_handlers={Exception: raised}, openapi_config=None, logging_config=None
        )

    def answer(self, signed: Signed, tx: Transaction) -> ASGIApp:
        try:
            return Raw(self.run(signed, tx))
        except Refusal as refusal:
            raise HTTPException(status_code=refusal.status) from None


class OnLitestarThreads(OnLitestar):
    def serve(self, route: dict[str, Any]) -> None:
        service = self

        class Orders(Controller):
            path = "/order"

            @post()
            @self.guard.litestar(**route)
            def order(self, signed: Signed, tx: Transaction) -> ASGIApp:
                if service.gate is not None:
                    service.gate.stand()
                return service.answer(signed, tx)

        self.app = self.made(Orders)
