"""Flask: translates requests and responses, and decides nothing.

The answer that duplicates get is what the view returned or, for werkzeug's HTTP errors below 500, what the
application's own error handlers made of it. What after_request functions add, and the session's cookie, come after the
guard: they are not stored, and after_request functions run for duplicates again.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from flask import Request, Response, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from tocsin.guard import _problems
from tocsin.guard._answer import LEAST_FAILURE, Answer, collect
from tocsin.guard._errors import GuardError
from tocsin.guard._guarded import Declare, Guarded
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Refused, Returned
from tocsin.guard._store import Tx
from tocsin.guard._werkzeug import check_no_class, path_template, status_of
from tocsin.signing import Message
from tocsin.signing.servers import wsgi_target

P = ParamSpec("P")


def flask_view(
    declared: Declare[Tx], handler: Callable[Concatenate[Signed, Tx, P], ResponseReturnValue]
) -> Callable[P, Response]:
    """The view that Flask calls, around the handler that the developer wrote.

    Raises:
        GuardError: the handler is not a plain function.
    """
    _check_handler(handler)
    guarded = declared(handler)

    @wraps(handler)
    def view(*args: P.args, **kwargs: P.kwargs) -> Response:
        url_map = current_app.url_map
        if not guarded.is_named_by(url_map):
            guarded.name(path_template(handler, url_map, current_app.view_functions), url_map)
        most_bytes = min(guarded.limits.max_body_bytes, request.max_content_length or guarded.limits.max_body_bytes)
        message = _message(request, most_bytes, guarded)
        if isinstance(message, Answer):
            return _response(message)
        produced: list[Response] = []

        def run(signed: Signed, tx: Tx) -> Returned | Refused:
            try:
                rendered = current_app.make_response(handler(signed, tx, *args, **kwargs))
                produced.append(rendered)
                return Returned(_answer(rendered, guarded.limits.max_answer_bytes))
            except HTTPException as error:
                if status_of(error) >= LEAST_FAILURE:
                    raise
                rendered = current_app.make_response(current_app.handle_user_exception(error))
                produced.append(rendered)
                return Refused(_answer(rendered, guarded.limits.max_answer_bytes))

        try:
            response = _response(guarded.perform(message, run))
        except BaseException:
            for rendered in produced:
                rendered.close()
            raise
        # What the handler asked for with call_on_close happens after the commit, and once.
        for rendered in produced:
            response.call_on_close(rendered.close)
        return response

    return view


def _message(received: Request, most_bytes: int, guarded: Guarded[Tx]) -> Message | Answer:
    """The request as it was signed; or what it is answered where its body cannot be had, or is longer than that.

    Raises:
        HTTPException: werkzeug's own answer, to a client that has gone.
    """
    if (received.content_length or 0) > most_bytes:
        return guarded.too_large(most_bytes)
    # One more than the cap: werkzeug cuts a longer chunked body off at the limit, without a word.
    received.max_content_length = most_bytes + 1
    # Cached: the handler may use request.get_json() and finds the bytes that were verified.
    try:
        body = received.get_data(cache=True)
    except RequestEntityTooLarge:
        return guarded.too_large(most_bytes)
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001  a server says in its own way that a body has no end; gunicorn's is no OSError
        return _problems.CUT_OFF
    if len(body) > most_bytes:
        return guarded.too_large(most_bytes)
    target, headers = wsgi_target(received.environ), tuple(received.headers)
    return Message(received.method, target, headers, body, guarded.public_origin)


def _answer(rendered: Response, most_bytes: int) -> Answer:
    return Answer(rendered.status_code, tuple(rendered.headers), collect(rendered.iter_encoded(), most_bytes))


def _response(answer: Answer) -> Response:
    response = current_app.response_class(answer.body, answer.status)
    # Not added to the defaults: an answer without a content type has none the second time either.
    response.headers.clear()
    response.headers.extend(answer.headers)
    return response


def _check_handler(handler: Callable[..., object]) -> None:
    check_no_class(handler, "guard.flask")
    if inspect.iscoroutinefunction(handler):
        raise GuardError(f"{handler.__qualname__} is async; guard.flask wants a plain function")
    if next(iter(inspect.signature(handler).parameters), "") == "self":
        raise GuardError(f"{handler.__qualname__} is a method; guard.flask wants a function that takes (signed, tx)")
