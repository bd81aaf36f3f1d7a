"""Starlette: guards an endpoint of a Route, and decides nothing.

    @guard.starlette(key=json_pointer("/order_id"))
    async def order(request, signed, tx):
        ...

    Route("/order", order, methods=["POST"])

The raw body is verified and duplicates are answered before the endpoint runs; then the claim, the endpoint, COMMIT, and
the first byte of the answer. HTTPException below 500 is rendered by the application's own handlers, inside, and undoes
the endpoint's writes. Background tasks follow COMMIT, once, and only if there was one.
"""

from collections.abc import Callable
from functools import partial, update_wrapper
from http import HTTPStatus
from typing import Any, Generic

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from tocsin.guard._asgi import Exchange
from tocsin.guard._asgi_events import Receive, Scope, Send
from tocsin.guard._guarded import Declare
from tocsin.guard._handlers import check_function
from tocsin.guard._starlette import Noting, current, outermost_router, path_template
from tocsin.guard._store import Tx
from tocsin.guard._threads import ThreadedGranted


class GuardedRoute(Generic[Tx]):
    """An endpoint as Route takes it: an ASGI application, which is given whatever method the route lets through."""

    def __init__(self, declared: Declare[Tx], handler: Callable[..., Any]) -> None:
        check_function(handler, "guard.starlette wants one that takes (request, signed, tx)")
        update_wrapper(self, handler)
        self._guarded = declared(handler)
        self._handler = handler
        self._app = request_response(self._endpoint)
        self._noting = Noting(HTTPException)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            GuardError: the operation has no name, and is not registered under exactly one path.
        """
        router = outermost_router(scope)
        if not self._guarded.is_named_by(router):
            self._guarded.name(path_template(scope, self._handler, lambda endpoint: endpoint is self), router)
        exchange = Exchange(self._guarded, scope, receive, send)
        await exchange.answer(partial(self._noting.run, exchange, self._app), self._guarded.limits.max_body_bytes)

    async def _endpoint(self, request: Request) -> Response:
        exchange = current()
        assert exchange is not None, "it is called by this object alone"
        run = await exchange.grant()
        if run is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        handler = partial(self._handler, request, run.signed, run.granted.tx)
        if isinstance(run.granted, ThreadedGranted):
            answer: Response = await run.granted.thread.run(handler)
        else:
            answer = await handler()
        return answer
