"""Quart: translates requests and responses, and decides nothing.

    @app.post("/order")
    @guard.quart(key=json_pointer("/order_id"))
    async def order(signed, tx): ...

The view has committed before Quart is given its response, so no middleware, and nothing that is done with a response,
can send a byte of it earlier. The answer that duplicates get is what the view returned or, for werkzeug's HTTP errors
below 500, what the application's own error handlers made of it. What after_request functions add, and the session's
cookie, come after the guard: they are not stored, and after_request functions run for duplicates again.

LIMIT: Quart starts what add_background_task is given at once, inside the transaction; `after_this_request` follows
COMMIT. The pieces of a plain generator are asked for on threads of Quart's own, where `tx` is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial, wraps
from typing import Any, cast

from quart import Request, Response, current_app, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, RequestTimeout
from werkzeug.wrappers import Response as WerkzeugResponse

from tocsin.guard._answer import LEAST_FAILURE, NO_CONTENT, Answer, collect, collect_async
from tocsin.guard._awaiting import never, performed_run
from tocsin.guard._guarded import Declare
from tocsin.guard._handlers import check_function
from tocsin.guard._steps import Refused, Returned, Run
from tocsin.guard._store import Tx
from tocsin.guard._threads import ThreadedGranted
from tocsin.guard._werkzeug import check_no_class, path_template, status_of
from tocsin.signing import Message
from tocsin.signing.servers import asgi_headers, asgi_target


def quart_view(declared: Declare[Tx], handler: Callable[..., Any]) -> Callable[..., Awaitable[Response]]:
    """The view that Quart calls, around the handler that the developer wrote.

    Raises:
        GuardError: the handler is not a plain function.
    """
    check_function(handler, "guard.quart wants one that takes (signed, tx)")
    check_no_class(handler, "guard.quart")
    guarded = declared(handler)

    @wraps(handler)
    async def view(*args: object, **kwargs: object) -> Response:
        url_map = current_app.url_map
        if not guarded.is_named_by(url_map):
            guarded.name(path_template(handler, url_map, current_app.view_functions), url_map)
        # Not the proxy: what runs on another task or thread may have no request, or another one.
        received: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
        most_bytes = min(guarded.limits.max_body_bytes, received.max_content_length or guarded.limits.max_body_bytes)
        try:
            body = await _received_body(received, most_bytes)
        except RequestEntityTooLarge:
            return _response(guarded.too_large(most_bytes))
        message = Message(
            received.method,
            asgi_target(cast("dict[str, object]", received.scope)),
            asgi_headers(received.scope["headers"]),
            body,
            guarded.public_origin,
        )

        async def run(run: Run) -> Returned | Refused:
            try:
                rendered = await _rendered(await _called(run, handler, args, kwargs))
            except HTTPException as error:
                if status_of(error) >= LEAST_FAILURE:
                    raise
                rendered = await _rendered(await current_app.handle_user_exception(error))
                return Refused(await _answer(rendered, guarded.limits.max_answer_bytes))
            return Returned(await _answer(rendered, guarded.limits.max_answer_bytes))

        return _response(await performed_run(guarded.begin(message, never), run))

    return view


async def _received_body(received: Request, most_bytes: int) -> bytes:
    """The raw body, which the handler finds again.

    Raises:
        RequestEntityTooLarge: it is longer than `most_bytes`; no more of it is kept.
        RequestTimeout: it has not come within the application's BODY_TIMEOUT.
    """
    if (received.content_length or 0) > most_bytes:
        raise RequestEntityTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(received.body_timeout):
            async for part in received.body:
                body += part
                if len(body) > most_bytes:
                    raise RequestEntityTooLarge
    except TimeoutError as error:
        raise RequestTimeout from error
    received.body.set_result(bytes(body))
    return bytes(body)


async def _called(run: Run, handler: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
    call = partial(handler, run.signed, run.granted.tx, *args, **kwargs)
    if isinstance(run.granted, ThreadedGranted):
        return await run.granted.thread.run(call)
    return await call()


async def _rendered(returned: Any) -> Response | WerkzeugResponse:  # noqa: ANN401  whatever views return
    return await current_app.make_response(returned)


async def _answer(rendered: Response | WerkzeugResponse, most_bytes: int) -> Answer:
    if isinstance(rendered, WerkzeugResponse):
        body = collect(rendered.iter_encoded(), most_bytes)
    else:
        async with aclosing(rendered.iter_encode()) as parts:
            body = await collect_async(parts, most_bytes)
    return Answer(rendered.status_code, tuple(rendered.headers), body)


def _response(answer: Answer) -> Response:
    response = current_app.response_class(answer.body, answer.status)
    # Not added to the defaults: an answer without a content type has none the second time either.
    response.headers.clear()
    response.headers.extend(answer.headers)
    if answer.status not in NO_CONTENT:
        response.content_length = len(answer.body)
    return response
