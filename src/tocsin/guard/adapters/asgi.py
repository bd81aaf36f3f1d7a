"""Plain ASGI: guards one application of the protocol, whatever framework it is written in, or none.

    @guard.asgi(name="/order", key=json_pointer("/order_id"))
    async def order(scope, receive, send):
        signed, tx = scope["tocsin.signed"], scope["tocsin.tx"]

The form is an application and not a function that returns an answer: so it can be mounted, routed and wrapped by
anything that speaks ASGI, and an existing application is guarded as it is. The answer is what it sends; an exception
rolls back. What frameworks make of their own HTTP errors is an answer like any other here. `lifespan` and `websocket`
go through untouched.
"""

from functools import partial, update_wrapper
from http import HTTPStatus
from typing import Generic

from tocsin.guard._asgi import Exchange
from tocsin.guard._asgi_events import App, Receive, Scope, Send
from tocsin.guard._guarded import Guarded
from tocsin.guard._store import Tx

SIGNED = "tocsin.signed"
TX = "tocsin.tx"


class GuardedApp(Generic[Tx]):
    """An ASGI application around another one. It is no function: Starlette's Route takes those for something else."""

    def __init__(self, guarded: Guarded[Tx], app: App) -> None:
        update_wrapper(self, app)
        self._guarded = guarded
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; hand everything else on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(self._guarded, scope, receive, send)
        await exchange.answer(partial(self._granted, exchange), self._guarded.limits.max_body_bytes)

    async def _granted(self, exchange: Exchange[Tx], scope: Scope, receive: Receive, send: Send) -> None:
        run = await exchange.grant()
        if run is None:
            await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT})
            await send({"type": "http.response.body"})
        else:
            scope[SIGNED], scope[TX] = run.signed, run.granted.tx
            await self._app(scope, receive, send)
