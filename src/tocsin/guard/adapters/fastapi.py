"""FastAPI: guards one endpoint, around everything that FastAPI does for it.

    @app.post("/order")
    @guard.fastapi(key=json_pointer("/order_id"))
    async def order(signed: Signed, tx: Transaction, body: OrderIn) -> OrderOut: ...

Where it takes hold: at the route's `handle`, which is called when the path is found and before anything of the request
is read. A decorator alone comes too late, because FastAPI parses the body before it solves the first dependency, and a
dependency with `yield` ends after the answer has left. A middleware comes too early: it does not know the endpoint. A
class of routes would know it, but every router would have to be told to use it, and the one that was forgotten would
serve its endpoint unguarded. So the first guarded endpoint makes APIRoute look, whenever a route is made, whether its
endpoint is guarded; those that are get a `handle` of their own, and all others stay as they are. An endpoint that is
reached in any other way refuses to run.

What happens in which order: the body is read and verified, and duplicates are answered, before FastAPI parses anything;
parsing, validation and dependencies come before the claim, so what they refuse is never remembered and holds no lock;
then the claim, the endpoint, the response model, COMMIT, and the first byte of the answer. HTTPException below 500 and
RequestValidationError, raised inside, are rendered by the application's own handlers and undo the endpoint's writes.
Background tasks, and what dependencies do after their `yield`, follow COMMIT, once, and only if there was one. Where
nothing of that follows, FastAPI returns before COMMIT is awaited: with 64 requests waiting, the garbage collector spent
a quarter of the processor's time on walking over what it holds for each.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial, wraps
from http import HTTPStatus
from typing import Any, Generic, TypeAlias, TypeVar, cast

from fastapi import routing
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tocsin.guard._asgi import Exchange
from tocsin.guard._asgi_events import App, Receive, Scope, Send
from tocsin.guard._errors import GuardError
from tocsin.guard._guarded import Declare, Guarded
from tocsin.guard._handlers import check_function, name_of
from tocsin.guard._openapi import with_the_guards
from tocsin.guard._starlette import Noting, current, outermost_router, path_template
from tocsin.guard._store import Tx
from tocsin.guard._threads import ThreadedGranted
from tocsin.signing import Scheme

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
RouteHandler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]

# FastAPI's stack of what dependencies do after the answer.
_EXITS = "fastapi_inner_astack"
# Where a guarded endpoint, and whatever copies its attributes with functools.wraps, says how it is guarded.
_MARK = "__tocsin_guarded__"
_OWN = ("signed", "tx")


def fastapi_endpoint(declared: Declare[Tx], handler: Endpoint, scheme: Scheme, *, writes: bool) -> Endpoint:
    """The endpoint that FastAPI calls, around the one that the developer wrote.

    Raises:
        GuardError: it does not take what a guarded endpoint has to take, or is no function.
    """
    signature = inspect.signature(handler)
    _check(handler, signature, writes=writes)
    guarded = declared(handler)
    takes_signed, takes_tx = (name in signature.parameters for name in _OWN)
    is_async = inspect.iscoroutinefunction(handler)

    @wraps(handler)
    async def endpoint(**arguments: Any) -> Any:  # noqa: ANN401  whatever the handler takes and returns
        exchange = current()
        if exchange is None or exchange.run is not None or exchange.guarded is not guarded:
            raise GuardError(f"{handler.__qualname__} was called past its guard; wanted a request to its route")
        run = await exchange.grant()
        if run is None:
            return Response()
        if takes_signed:
            arguments["signed"] = run.signed
        if takes_tx:
            arguments["tx"] = run.granted.tx
        if is_async:
            return await handler(**arguments)
        assert isinstance(run.granted, ThreadedGranted), "a plain function is declared with a store for threads"
        return await run.granted.thread.run(partial(handler, **arguments))

    kept = [parameter for name, parameter in signature.parameters.items() if name not in _OWN]
    endpoint.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    setattr(endpoint, _MARK, GuardedEndpoint(guarded, handler, scheme))
    _look_at_every_route()
    return cast("Endpoint", endpoint)


class GuardedEndpoint(Generic[Tx]):
    """How an endpoint is guarded, for the routes that it is given to."""

    def __init__(self, guarded: Guarded[Tx], handler: Callable[..., Any], scheme: Scheme) -> None:
        self._guarded = guarded
        self._handler = handler
        self._scheme = scheme
        self._noting = Noting(HTTPException, RequestValidationError)

    def guard(self, route: APIRoute) -> None:
        """Make a route that has just been made a guarded one."""
        route.handle = partial(self._handle, route, route.handle)  # type: ignore[method-assign]
        status = route.status_code or HTTPStatus.OK
        route.openapi_extra = with_the_guards(
            route.openapi_extra, route.responses, self._scheme, status, is_ordered=self._guarded.is_ordered
        )

    async def _handle(self, route: APIRoute, unguarded: App, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (route.methods or ()):
            await unguarded(scope, receive, send)
            return
        guarded = self._guarded
        router = outermost_router(scope)
        if not guarded.is_named_by(router):
            guarded.name(path_template(scope, self._handler, self._is_its, _flat), router)
        exchange = Exchange(guarded, scope, receive, send)
        most_bytes = guarded.limits.max_body_bytes
        of_the_route: int | None = getattr(route, "max_body_size", None)
        app = partial(self._noting.run, exchange, unguarded)
        await exchange.answer(app, most_bytes if of_the_route is None else min(most_bytes, of_the_route))

    def _is_its(self, endpoint: Any) -> bool:  # noqa: ANN401  whatever stands in a route
        return endpoint is not None and inspect.unwrap(endpoint) is inspect.unwrap(self._handler)


def _flat(routes: Iterable[Any]) -> Iterable[Any]:
    """All routes, from the version of FastAPI on in which an included router stays one."""
    contexts: Callable[[Iterable[Any]], Iterable[Any]] = getattr(routing, "iter_route_contexts", iter)
    return contexts(routes)


def _check(handler: Callable[..., Any], signature: inspect.Signature, *, writes: bool) -> None:
    check_function(handler, "guard.fastapi wants one that takes tx")
    name = name_of(handler)
    if writes and "tx" not in signature.parameters:
        raise GuardError(
            f"{name} does not take tx: what it writes through another connection, such as Depends(get_db), would not "
            "be covered; wanted a parameter tx, or writes=False"
        )
    if not writes and "tx" in signature.parameters:
        raise GuardError(f"{name} takes tx and is declared with writes=False; wanted one of them")
    if any(parameter.kind is parameter.POSITIONAL_ONLY for parameter in signature.parameters.values()):
        raise GuardError(f"{name} has parameters that have no name for FastAPI; wanted none before a /")


def _look_at_every_route() -> None:
    """Make APIRoute look for guarded endpoints, once."""
    make: Callable[..., None] = APIRoute.__init__
    if hasattr(make, _MARK):
        return
    handler_of = APIRoute.get_route_handler

    @wraps(make)
    def make_and_look(route: APIRoute, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  whatever it takes
        make(route, *arguments, **options)
        guarded: GuardedEndpoint[Any] | None = getattr(route.endpoint, _MARK, None)
        if guarded is not None:
            guarded.guard(route)

    @wraps(handler_of)
    def handler_and_look(route: APIRoute) -> RouteHandler:
        handler = handler_of(route)
        # A class of routes of the application's own may do anything after it.
        return _looked_at(handler) if type(route) is APIRoute and hasattr(route.endpoint, _MARK) else handler

    setattr(make_and_look, _MARK, True)
    APIRoute.__init__ = make_and_look  # type: ignore[method-assign, assignment]
    APIRoute.get_route_handler = handler_and_look  # type: ignore[method-assign, assignment]


def _looked_at(handler: RouteHandler) -> RouteHandler:
    """FastAPI's handler of a route, whose response is looked at before it is sent."""

    async def looked_at(request: Request) -> Response:
        response = await handler(request)
        exchange = current()
        assert exchange is not None, "an endpoint that was called past its guard has raised"
        exchange.is_last_word = _is_last_word(request.scope, response)
        return response

    return looked_at


def _is_last_word(scope: Mapping[str, Any], response: Response) -> bool:
    """Whether nothing follows a response: no background task, no dependency's exit, nothing that its class adds."""
    # Without an attribute that says so, something may follow.
    exits = getattr(scope.get(_EXITS), "_exit_callbacks", True)
    return not exits and response.background is None and type(response).__call__ is Response.__call__
