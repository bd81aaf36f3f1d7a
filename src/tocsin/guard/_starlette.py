"""What Starlette does with an endpoint, as far as the guard has to know it.

Rule: the type of what a handler raised decides what becomes of its writes, so whoever renders it says which it was: an
HTTP error of the framework's below 500 undoes them and may be remembered, and everything else undoes the whole request.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeAlias, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

Handler: TypeAlias = Callable[[Request, Exception], Any]
Handlers: TypeAlias = tuple[dict[Any, Handler], dict[int, Handler]]

HANDLERS = "starlette.exception_handlers"
_LEAST_FAILURE = 500


class NotedHandlers:
    """An application's exception handlers for what may be remembered, which note what they render.

    Args:
        note: is told the error before it is rendered.
    """

    def __init__(self, note: Callable[[Exception], None]) -> None:
        self._note = note
        self._made: tuple[object, Handlers] | None = None

    def of(self, of_the_app: Handlers | None) -> Handlers:
        """The handlers, made once for each application: it gives the same ones in another tuple with every request."""
        if self._made is None or self._made[0] != of_the_app:
            by_type, by_status = of_the_app or ({}, {})
            noted = (
                {kind: self._noted(handler) for kind, handler in by_type.items() if _is_http_error(kind)},
                {status: self._noted(handler) for status, handler in by_status.items() if status < _LEAST_FAILURE},
            )
            self._made = (of_the_app, noted)
        return self._made[1]

    def _noted(self, handler: Handler) -> Handler:
        if inspect.iscoroutinefunction(handler):

            async def noted_async(request: Request, error: Exception) -> Response:
                self._tell(error)
                return await cast("Awaitable[Response]", handler(request, error))

            return noted_async

        def noted(request: Request, error: Exception) -> Response:
            self._tell(error)
            return cast("Response", handler(request, error))

        return noted

    def _tell(self, error: Exception) -> None:
        if isinstance(error, HTTPException) and error.status_code >= _LEAST_FAILURE:
            raise error
        self._note(error)


def _is_http_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, HTTPException)


def paths_of(endpoint: object, routes: Iterable[Any], prefix: str = "") -> Iterator[str]:
    """The path templates under which an endpoint is registered, with the prefixes of mounts."""
    for route in routes:
        if getattr(route, "endpoint", None) is endpoint:
            yield f"{prefix}{route.path_format}"
        yield from paths_of(endpoint, getattr(route, "routes", None) or (), f"{prefix}{getattr(route, 'path', '')}")
