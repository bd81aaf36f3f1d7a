"""What Starlette does with an endpoint, and so FastAPI, as far as the guard has to know it.

Rule: the type of what a handler raised decides what becomes of its writes, so whoever renders it says which it was: an
HTTP error of the framework's below 500 undoes them and may be remembered, and everything else undoes the whole request.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, TypeAlias, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tocsin.guard._answer import LEAST_FAILURE
from tocsin.guard._asgi import Exchange
from tocsin.guard._asgi_events import App, Receive, Scope, Send
from tocsin.guard._errors import GuardError

Handler: TypeAlias = Callable[[Request, Exception], Any]
Handlers: TypeAlias = tuple[dict[Any, Handler], dict[int, Handler]]

_HANDLERS = "starlette.exception_handlers"

_current: ContextVar[Exchange[Any]] = ContextVar("tocsin_exchange")


def current() -> Exchange[Any] | None:
    """The exchange that an application runs in; None: it was called past every guard."""
    return _current.get(None)


class Noting:
    """Runs an application inside an exchange, which is told what the application's exception handlers render.

    Args:
        remembered: the errors of the framework's that may be remembered where their status is below 500.
    """

    def __init__(self, *remembered: type[Exception]) -> None:
        self._remembered = remembered
        self._made: tuple[object, Handlers] | None = None

    async def run(self, exchange: Exchange[Any], app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Run it. Raises what it raises."""
        scope[_HANDLERS] = self._noted_once(scope.get(_HANDLERS))
        token = _current.set(exchange)
        try:
            await app(scope, receive, send)
        finally:
            _current.reset(token)

    def _noted_once(self, of_the_app: Handlers | None) -> Handlers:
        """Made once for each application: it gives the same handlers in another tuple with every request."""
        if self._made is None or self._made[0] != of_the_app:
            by_type, by_status = of_the_app or ({}, {})
            noted = (
                {kind: _noted(handler) for kind, handler in by_type.items() if self._is_http_error(kind)},
                {status: _noted(handler) for status, handler in by_status.items() if status < LEAST_FAILURE},
            )
            self._made = (of_the_app, noted)
        return self._made[1]

    def _is_http_error(self, kind: object) -> bool:
        return isinstance(kind, type) and issubclass(kind, self._remembered)


def _noted(handler: Handler) -> Handler:
    """The handler, for errors of the framework's below 500; others go on to where the whole request is undone."""
    if inspect.iscoroutinefunction(handler):

        async def noted_async(request: Request, error: Exception) -> Response:
            _note(error)
            return await cast("Awaitable[Response]", handler(request, error))

        return noted_async

    def noted(request: Request, error: Exception) -> Response:
        _note(error)
        return cast("Response", handler(request, error))

    return noted


def _note(error: Exception) -> None:
    if isinstance(error, HTTPException) and error.status_code >= LEAST_FAILURE:
        raise error
    _current.get().refusal = error


def outermost_router(scope: Scope) -> object:
    """The router that the request came through first; the scope for an endpoint that is served by itself."""
    router: object = scope.get("router", scope)
    return router


def path_template(
    scope: Scope,
    handler: Callable[..., Any],
    is_its: Callable[[object], bool],
    flat: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> str:
    """The one path under which an endpoint is registered, with every prefix and mount.

    Args:
        scope: of a request to it.
        handler: what the developer wrote.
        is_its: whether a route's endpoint is this one.
        flat: all routes of a list of routes.

    Raises:
        GuardError: there are several, or none.
    """
    found = set(_paths(getattr(outermost_router(scope), "routes", ()), is_its, flat, ""))
    if len(found) != 1:
        paths = ", ".join(sorted(found)) or "none"
        name = getattr(handler, "__qualname__", "the endpoint")
        raise GuardError(f"{name} is registered under {len(found)} paths ({paths}); wanted a name=")
    return found.pop()


def _paths(
    routes: Iterable[Any],
    is_its: Callable[[object], bool],
    flat: Callable[[Iterable[Any]], Iterable[Any]],
    prefix: str,
) -> Iterator[str]:
    for route in flat(routes):
        if is_its(getattr(route, "endpoint", None)):
            yield f"{prefix}{route.path_format}"
        inner = getattr(route, "routes", None) or ()
        yield from _paths(inner, is_its, flat, f"{prefix}{getattr(route, 'path', '')}")
