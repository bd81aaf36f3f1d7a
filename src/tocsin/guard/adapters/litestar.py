"""Litestar: guards one handler, around everything that Litestar does for it.

    @post("/order")
    @guard.litestar(key=json_pointer("/order_id"))
    async def order(signed: Signed, tx: Transaction, data: OrderIn) -> OrderOut: ...

Where it takes hold: at the route's `handle`, which is called when the path is found, inside every middleware and before
anything of the request is parsed. A decorator alone comes too late, because Litestar parses the body before it calls
the handler; a middleware that is given to the handler comes too early, because Litestar compresses and caches answers
inside of it. So the first guarded handler makes HTTPRoute look, whenever a request comes, whether its handler is
guarded; all others go on as they did. A handler that is reached in any other way refuses to run.

What happens in which order: the body is read and verified, and duplicates are answered; guards of Litestar's, parsing,
validation and dependencies come before the claim, so what they refuse is never remembered; then the claim, the handler,
the exits of its dependencies, the response, COMMIT, and the first byte of the answer. Background tasks and
`after_response` follow COMMIT, once, and only if there was one. HTTPException below 500, raised inside, is rendered by
the application's own handlers and undoes the handler's writes.
"""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Generic, TypeGuard, TypeVar, cast

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.exceptions.responses import create_exception_response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Empty, ExceptionHandlersMap
from litestar.utils.scope.state import ScopeState

from tocsin.guard._answer import LEAST_FAILURE
from tocsin.guard._asgi import Exchange
from tocsin.guard._asgi_events import App, Event, Receive, Scope, Send
from tocsin.guard._errors import GuardError
from tocsin.guard._guarded import Declare, Guarded
from tocsin.guard._handlers import check_function, name_of
from tocsin.guard._openapi import documented
from tocsin.guard._store import Tx
from tocsin.guard._threads import ThreadedGranted
from tocsin.signing import Scheme

Handler = TypeVar("Handler", bound=Callable[..., Any])

# Where a guarded handler, and whatever copies its attributes with functools.wraps, says how it is guarded.
_MARK = "__tocsin_guarded__"
_OWN = ("signed", "tx")

_current: ContextVar[Exchange[Any]] = ContextVar("tocsin_litestar_exchange")


def litestar_handler(declared: Declare[Tx], handler: Handler, scheme: Scheme, *, writes: bool) -> Handler:
    """The handler that Litestar calls, around the one that the developer wrote.

    Raises:
        GuardError: it does not take what a guarded handler has to take, or is no function.
    """
    signature = inspect.signature(handler)
    _check(handler, signature, writes=writes)
    guarded = declared(handler)
    taken = [name for name in _OWN if name in signature.parameters]
    is_async = inspect.iscoroutinefunction(handler)

    @wraps(handler)
    async def endpoint(*controller: object, **arguments: object) -> object:
        exchange = _current.get(None)
        if exchange is None or exchange.run is not None or exchange.guarded is not guarded:
            raise GuardError(f"{handler.__qualname__} was called past its guard; wanted a request to its route")
        run = await exchange.grant()
        if run is None:
            return Response(None)
        own = {"signed": run.signed, "tx": run.granted.tx}
        call = partial(handler, *controller, **arguments, **{name: own[name] for name in taken})
        if is_async:
            return await call()
        assert isinstance(run.granted, ThreadedGranted), "a plain function is declared with a store for threads"
        return await run.granted.thread.run(call)

    kept = [parameter for name, parameter in signature.parameters.items() if name not in _OWN]
    endpoint.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    endpoint.__annotations__ = {name: hint for name, hint in handler.__annotations__.items() if name not in _OWN}
    setattr(endpoint, _MARK, GuardedHandler(guarded, handler, scheme))
    _look_at_every_route()
    return cast("Handler", endpoint)


class GuardedHandler(Generic[Tx]):
    """How a handler is guarded, for the routes that it is given to."""

    def __init__(self, guarded: Guarded[Tx], handler: Callable[..., Any], scheme: Scheme) -> None:
        self._guarded = guarded
        self._handler = handler
        self._scheme = scheme

    def check(self, handler: HTTPRouteHandler) -> None:
        """Refuse a declaration under which answers would come past the guard.

        Raises:
            GuardError: Litestar would answer from its own cache.
        """
        if handler.cache:
            raise GuardError(
                f"{self._handler.__qualname__} is guarded and has cache={handler.cache!r}, which answers by the URL "
                "alone; wanted no cache: the guard keeps the answer for its duplicates"
            )

    def document(self, handler: HTTPRouteHandler) -> None:
        """Have Litestar's OpenAPI document say what the guard does."""
        # Litestar's own, or one of the application's.
        made: Any = handler.operation_class
        scheme, is_ordered, status = self._scheme, self._guarded.is_ordered, handler.status_code

        class GuardedOperation(made):  # type: ignore[misc]
            def to_schema(self) -> dict[str, Any]:
                return documented(super().to_schema(), scheme, status, is_ordered=is_ordered)

        handler.operation_class = GuardedOperation

    async def handle(
        self, handler: HTTPRouteHandler, unguarded: App, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request; `unguarded` is the route as Litestar made it."""
        guarded = self._guarded
        # Litestar makes a handler anew for each application, and its applications cannot be referred to weakly.
        if not guarded.is_named_by(handler):
            guarded.name(self._path_template(handler.app), handler)
        exchange = Exchange(guarded, scope, _from_the_start(scope, receive), send)

        async def app(inner: Scope, receive: Receive, send: Send) -> None:
            _forget_an_earlier_run(inner)
            token = _current.set(exchange)
            try:
                await unguarded(inner, receive, partial(_send_with_session, inner, scope, send))
            except Exception as error:
                if not _is_refusal(error):
                    raise
                exchange.refusal = error
                await _render(error, handler, inner, receive, send)
            finally:
                _current.reset(token)

        most_bytes = guarded.limits.max_body_bytes
        of_the_route = handler.resolve_request_max_body_size()
        await exchange.answer(app, most_bytes if of_the_route is None else min(most_bytes, of_the_route))

    def _path_template(self, app: Litestar) -> str:
        """The one path under which the handler is registered, with those of its routers and its controller.

        Raises:
            GuardError: there are several.
        """
        found = {
            route.path_format
            for route in app.routes
            if isinstance(route, HTTPRoute)
            and any(inspect.unwrap(handler.fn) is self._handler for handler in route.route_handlers)
        }
        if len(found) != 1:
            raise GuardError(
                f"{self._handler.__qualname__} is registered under {len(found)} paths ({', '.join(sorted(found))}); "
                "wanted a name="
            )
        return found.pop()


def _from_the_start(scope: Scope, receive: Receive) -> Receive:
    """The server's `receive`, and before it the body, where a middleware of Litestar's has read that and kept it."""
    kept = ScopeState.from_scope(scope).body  # type: ignore[arg-type]
    if kept is Empty:
        return receive
    events = iter([{"type": "http.request", "body": kept, "more_body": False}])

    async def again() -> Event:
        event = next(events, None)
        return await receive() if event is None else event

    return again


def _forget_an_earlier_run(scope: Scope) -> None:
    """What Litestar keeps of a run whose transaction was undone, and has closed at its end."""
    state = ScopeState.from_scope(scope)  # type: ignore[arg-type]
    state.form = state.dependency_cache = Empty


async def _send_with_session(inner: Scope, outer: Scope, send: Send, event: Event) -> None:
    # Litestar's middleware reads the session in its own scope when the answer starts, and set_session replaces it.
    if "session" in inner:
        outer["session"] = inner["session"]
    await send(event)


def _is_refusal(error: Exception) -> TypeGuard[HTTPException]:
    """Whether it is one of Litestar's HTTP errors below 500, whatever else the application renders as one."""
    return isinstance(error, HTTPException) and error.status_code < LEAST_FAILURE


async def _render(error: HTTPException, handler: HTTPRouteHandler, scope: Scope, receive: Receive, send: Send) -> None:
    """As Litestar does it, only inside the transaction: its hooks, and then the handler's own exception handlers."""
    connection: Any = scope, receive, send
    for hook in handler.app.after_exception:
        await hook(error, connection[0])
    request = handler.app.request_class(*connection)
    response = _renderer(handler.resolve_exception_handlers(), error)(request, error)
    encoders = handler.resolve_type_encoders()
    await response.to_asgi_response(app=None, request=request, type_encoders=encoders)(*connection)


def _renderer(handlers: ExceptionHandlersMap, error: HTTPException) -> Callable[[Request[Any, Any, Any], Any], Any]:
    """By the status, else by the nearest type; Litestar's own where there is none."""
    kinds: list[Any] = [error.status_code, *type(error).__mro__]
    return next((handlers[kind] for kind in kinds if kind in handlers), create_exception_response)


def _check(handler: Callable[..., Any], signature: inspect.Signature, *, writes: bool) -> None:
    check_function(handler, "guard.litestar stands below @post, and wants what that takes", may_be_method=True)
    name = name_of(handler)
    if writes and "tx" not in signature.parameters:
        raise GuardError(
            f"{name} does not take tx: what it writes through another connection, such as a session that Litestar "
            "provides, would not be covered; wanted a parameter tx, or writes=False"
        )
    if not writes and "tx" in signature.parameters:
        raise GuardError(f"{name} takes tx and is declared with writes=False; wanted one of them")


def _look_at_every_route() -> None:
    """Make HTTPRoute look for guarded handlers, once."""
    handle: Callable[..., Any] = HTTPRoute.handle
    if hasattr(handle, _MARK):
        return
    register: Callable[..., None] = HTTPRouteHandler.on_registration

    @wraps(handle)
    async def handle_and_look(route: HTTPRoute, scope: Scope, receive: Receive, send: Send) -> None:
        handler, _ = route.route_handler_map[scope["method"]]
        guarded: GuardedHandler[Any] | None = getattr(handler.fn, _MARK, None)
        if guarded is None:
            await handle(route, scope, receive, send)
        else:
            await guarded.handle(handler, partial(handle, route), scope, receive, send)

    @wraps(register)
    def register_and_look(handler: HTTPRouteHandler, *arguments: object) -> None:
        register(handler, *arguments)
        guarded: GuardedHandler[Any] | None = getattr(handler.fn, _MARK, None)
        if guarded is not None:
            guarded.check(handler)
            guarded.document(handler)

    setattr(handle_and_look, _MARK, True)
    HTTPRoute.handle = handle_and_look  # type: ignore[method-assign, assignment]
    HTTPRouteHandler.on_registration = register_and_look  # type: ignore[method-assign, assignment]
