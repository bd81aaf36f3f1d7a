"""Robyn, whose runtime is Actix: translates requests and responses, and decides nothing.

    @app.post("/order")
    @guard.robyn(name="/order", key=json_pointer("/order_id"))
    def order(request, signed, tx):
        ...

A plain function runs on the thread of Robyn's that was given the request, a coroutine on its event loop. Robyn has read
the whole body before; ROBYN_MAX_PAYLOAD_SIZE bounds that. It tells the path as it was spelled, and the query as names
with their values: under a scheme that signs the query, a request verifies if its names stand in alphabetical order and
each has a value. Middlewares and global header fields of Robyn come after the guard, and are not stored.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeAlias

from robyn import Headers, Request, Response, StreamingResponse
from robyn.exceptions import HTTPException
from robyn.jsonify import jsonify
from robyn.responses import AsyncGeneratorWrapper
from robyn.robyn import Cookies

from tocsin.guard._answer import LEAST_FAILURE, Answer, collect
from tocsin.guard._awaiting import never, performed
from tocsin.guard._errors import GuardError
from tocsin.guard._guarded import Declare, Guarded
from tocsin.guard._handlers import check_function
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Refused, Returned
from tocsin.guard._store import Tx
from tocsin.signing import Header, Message

Endpoint: TypeAlias = Callable[[Request], Any]

_JSON = (("Content-Type", "application/json"),)
_TEXT = (("Content-Type", "text/plain"),)
_OCTETS = (("Content-Type", "application/octet-stream"),)


def robyn_endpoint(declared: Declare[Tx], handler: Callable[..., Any]) -> Endpoint:
    """The endpoint that Robyn calls, around the one that the developer wrote.

    Raises:
        GuardError: the handler is no function that returns its answer.
    """
    check_function(handler, "guard.robyn wants one that takes (request, signed, tx)")
    guarded = declared(handler)
    if inspect.iscoroutinefunction(handler):
        return _on_tasks(guarded, handler)

    @wraps(handler)
    def endpoint(request: Request) -> Response:
        body = _body(request)
        if len(body) > guarded.limits.max_body_bytes:
            return _response(guarded.too_large(guarded.limits.max_body_bytes))
        message = _message(request, body, guarded.public_origin)
        most_bytes = guarded.limits.max_answer_bytes

        def run(signed: Signed, tx: Tx) -> Returned | Refused:
            try:
                return Returned(_answer(handler(request, signed, tx), most_bytes))
            except HTTPException as error:
                return _refused(error)

        try:
            return _response(guarded.perform(message, run))
        except HTTPException as error:
            return _response(_rendered(error))

    return _taking_a_request(endpoint)


def _on_tasks(guarded: Guarded[Tx], handler: Callable[..., Any]) -> Endpoint:
    @wraps(handler)
    async def endpoint(request: Request) -> Response:
        body = _body(request)
        if len(body) > guarded.limits.max_body_bytes:
            return _response(guarded.too_large(guarded.limits.max_body_bytes))
        message = _message(request, body, guarded.public_origin)

        async def run(signed: Signed, tx: Tx) -> Returned | Refused:
            try:
                return Returned(_answer(await handler(request, signed, tx), guarded.limits.max_answer_bytes))
            except HTTPException as error:
                return _refused(error)

        try:
            return _response(await performed(guarded.begin(message, never), run))
        except HTTPException as error:
            return _response(_rendered(error))

    return _taking_a_request(endpoint)


def _taking_a_request(endpoint: Endpoint) -> Endpoint:
    # Robyn looks for what it has to hand over, and the wrapped function takes more than Robyn has.
    del endpoint.__wrapped__  # type: ignore[attr-defined]
    endpoint.__annotations__ = {"request": Request}
    return endpoint


def _body(request: Request) -> bytes:
    # Text where it is UTF-8, which gives the same octets back.
    return request.body.encode() if isinstance(request.body, str) else bytes(request.body)


def _message(request: Request, body: bytes, public_origin: str) -> Message:
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query_params.multi_items(), key=_name))
    target = f"{request.url.path}?{query}" if query else request.url.path
    return Message(str(request.method), target, tuple(request.headers.multi_items()), body, public_origin)


def _name(field: tuple[str, str]) -> str:
    return field[0]


def _refused(error: HTTPException) -> Refused:
    """One of the framework's HTTP errors below 500. Raises the others."""
    if error.status_code >= LEAST_FAILURE:
        raise error
    return Refused(_rendered(error))


def _rendered(error: HTTPException) -> Answer:
    """As it says it wants to be answered; Robyn itself makes 500 of every one."""
    return Answer(error.status_code, _TEXT, error.detail.encode())


def _answer(returned: Any, most_bytes: int) -> Answer:  # noqa: ANN401  Robyn's types say less than it sends
    """What a handler returned, as Robyn would send it.

    Raises:
        AnswerTooLarge: it is longer than `most_bytes`.
        GuardError: no duplicate could be given the same.
    """
    match returned:
        case Response():
            _check_response(returned)
            return Answer(returned.status_code, _fields(returned.headers), _limited(returned.description, most_bytes))
        case StreamingResponse():
            body = collect(_pieces(returned.content), most_bytes)
            return Answer(returned.status_code, _fields(returned.headers), body)
        case dict() | list():
            return Answer(HTTPStatus.OK, _JSON, _limited(jsonify(returned), most_bytes))
        case str():
            return Answer(HTTPStatus.OK, _TEXT, _limited(returned, most_bytes))
        case bytes():
            return Answer(HTTPStatus.OK, _OCTETS, _limited(returned, most_bytes))
        case (body, headers, int() as status):
            return Answer(status, _fields(headers), _limited(body, most_bytes))
        case _:
            raise GuardError(
                f"the handler returned {type(returned).__name__}; wanted a Response, dict, list, str, bytes, or a "
                "tuple of body, headers and status"
            )


def _check_response(response: Response) -> None:
    if response.file_path:
        raise GuardError("the handler returned a file; wanted its bytes, of which a duplicate gets the same")
    cookies: Cookies | None = response.cookies
    if cookies is not None and not cookies.is_empty():
        raise GuardError('the handler set cookies; wanted them as header fields "Set-Cookie", which are stored')


def _fields(headers: Headers | dict[str, str]) -> tuple[Header, ...]:
    items: Iterable[tuple[str, str]] = headers.items() if isinstance(headers, dict) else headers.multi_items()
    return tuple(items)


def _pieces(content: Any) -> Iterable[bytes]:  # noqa: ANN401  inferred by Robyn as less than it is
    if isinstance(content, AsyncGeneratorWrapper):
        raise GuardError("the handler returned a stream of an asynchronous generator; wanted a plain one, or the body")
    return map(_octets, content)


def _limited(body: object, most_bytes: int) -> bytes:
    return collect([_octets(body)], most_bytes)


def _octets(body: object) -> bytes:
    match body:
        case bytes():
            return body
        case str():
            return body.encode()
        case dict() | list():
            return jsonify(body).encode()
        case _:
            raise GuardError(f"a body is {type(body).__name__}; wanted str or bytes")


def _response(answer: Answer) -> Response:
    headers = Headers({})
    for name, value in answer.headers:
        headers.append(name, value)
    return Response(answer.status, headers, answer.body)
