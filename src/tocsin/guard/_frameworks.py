"""What Guard has for frameworks: for each of them one method and one adapter.

Rule: an adapter is imported when its method is called, because a service has one framework and not all of them.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeAlias, TypedDict, TypeVar, Unpack

from tocsin.guard._declare import Options
from tocsin.guard._errors import GuardError
from tocsin.guard._fingerprint import Fingerprint
from tocsin.guard._guarded import Guarded
from tocsin.guard._keys import BodyDigest
from tocsin.guard._kinds import store_for_tasks, store_for_threads
from tocsin.guard._sequence import Sequence
from tocsin.guard._signed import Signed
from tocsin.guard._store import AsyncStore, Store, Tx
from tocsin.signing import JsonPointer, Scheme

if TYPE_CHECKING:  # a service has one framework, and no type stubs
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from flask import Response
    from flask.typing import ResponseReturnValue

    from tocsin.guard.adapters.asgi import GuardedApp as GuardedASGI
    from tocsin.guard.adapters.robyn import Endpoint as RobynEndpoint
    from tocsin.guard.adapters.starlette import GuardedRoute
    from tocsin.guard.adapters.wsgi import GuardedApp as GuardedWSGI

P = ParamSpec("P")
Handler: TypeAlias = Callable[..., Any]
Endpoint = TypeVar("Endpoint", bound=Handler)


class RouteOptions(TypedDict, total=False):
    """What an operation may say for itself, in place of what Guard says for all.

    Args:
        key: what makes two requests the same operation: json_pointer("/order_id"), or body_digest(days=3). Default:
            the scheme's own message id.
        remember: the statuses that are committed and replayed.
        fingerprint: what must be equal, besides the key, for a request to be a duplicate.
        answer_days: how long duplicates get the stored answer.
        claim_days: how long the claim is kept at all.
        sequence: how its messages are ordered.
    """

    key: JsonPointer | BodyDigest | None
    remember: Container[int] | None
    fingerprint: Fingerprint | None
    answer_days: float | None
    claim_days: float | None
    sequence: Sequence | None


class Frameworks(ABC, Generic[Tx]):
    """The part of Guard that knows which adapters there are."""

    _scheme: Scheme
    _store: Store[Tx] | AsyncStore[Tx]

    @abstractmethod
    def guarded(
        self,
        handler: Callable[..., object],
        *,
        key: JsonPointer | BodyDigest | None,
        name: str | None,
        options: Options,
        store: Store[Tx] | None = None,
        async_store: AsyncStore[Tx] | None = None,
    ) -> Guarded[Tx]:
        """Declare an operation, for an adapter."""

    def flask(
        self, *, name: str | None = None, **options: Unpack[RouteOptions]
    ) -> "Callable[[Callable[Concatenate[Signed, Tx, P], ResponseReturnValue]], Callable[P, Response]]":
        """Guard a Flask view: between the route and a function that takes (signed, tx) and the route's arguments.

        Args:
            name: the operation's name, part of every stored key. Default: the path template, "/order/<id>"; a name lets
                the path change, and two paths be one operation.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; or Flask is not installed.
        """
        with _installed("flask"):
            from tocsin.guard.adapters.flask import flask_view  # noqa: PLC0415  only services on it have it
        declared = self._on_threads("guard.flask", name, options)
        return lambda handler: flask_view(declared, handler)

    def wsgi(
        self, *, name: str, only: "Callable[[WSGIEnvironment], bool] | None" = None, **options: Unpack[RouteOptions]
    ) -> "Callable[[WSGIApplication], GuardedWSGI[Tx]]":
        """Guard a WSGI application, which finds environ["tocsin.signed"] and environ["tocsin.tx"].

        Args:
            name: the operation's name, part of every stored key. An application has no path of its own to be named by.
            only: which requests are guarded; the others go through as they are, without "tocsin.tx". Default: all.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; or the store is for tasks only.
        """
        from tocsin.guard.adapters.wsgi import GuardedApp  # noqa: PLC0415  a service on ASGI needs none of it

        declared = self._on_threads("guard.wsgi", name, options)
        return lambda app: GuardedApp(declared(app), app, only)

    def asgi(
        self, *, name: str, **options: Unpack[RouteOptions]
    ) -> "Callable[[Callable[..., Awaitable[None]]], GuardedASGI[Tx]]":
        """Guard an ASGI application, which finds scope["tocsin.signed"] and scope["tocsin.tx"].

        Args:
            name: the operation's name, part of every stored key. An application has no path of its own to be named by.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; or the store is for threads only.
        """
        from tocsin.guard.adapters.asgi import GuardedApp  # noqa: PLC0415  a service on WSGI needs no asyncio

        store = store_for_tasks(self._store, "guard.asgi")
        key, given = self._split("guard.asgi", options)
        return lambda app: GuardedApp(self.guarded(app, key=key, name=name, options=given, async_store=store), app)

    def fastapi(
        self, *, name: str | None = None, writes: bool = True, **options: Unpack[RouteOptions]
    ) -> Callable[[Endpoint], Endpoint]:
        """Guard a FastAPI endpoint: between the path operation and a function that takes `tx`, and perhaps `signed`.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, prefixes and mounts
                included.
            writes: False says that the endpoint writes nothing, and need not take `tx`. Whatever it writes through
                another connection, such as Depends(get_db), is not covered.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the endpoint takes no `tx`; it is
                `async def` and the store is for threads, or the other way round; or FastAPI is not installed.
        """
        with _installed("fastapi"):
            from tocsin.guard.adapters.fastapi import fastapi_endpoint  # noqa: PLC0415  only services on it have it
        declared = self._on_a_loop("guard.fastapi", name, options)
        return lambda handler: fastapi_endpoint(declared, handler, self._scheme, writes=writes)

    def starlette(
        self, *, name: str | None = None, **options: Unpack[RouteOptions]
    ) -> "Callable[[Handler], GuardedRoute[Tx]]":
        """Guard an endpoint of Starlette: a function that takes (request, signed, tx), `async def` or `def`.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, mounts included.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the endpoint is `async def` and the
                store is for threads, or the other way round; or Starlette is not installed.
        """
        with _installed("starlette"):
            from tocsin.guard.adapters.starlette import GuardedRoute  # noqa: PLC0415  only services on it have it
        declared = self._on_a_loop("guard.starlette", name, options)
        return lambda handler: GuardedRoute(declared, handler)

    def django(self, *, name: str | None = None, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        """Guard a view of Django's or of REST framework's: a function or a method, `async def` or `def`.

        It stands directly above what takes (request, signed, tx) and the route's arguments: below @api_view.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, includes included.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the view is `async def` and the store
                is for threads, or the other way round; or Django is not installed.
        """
        with _installed("django"):
            from tocsin.guard.adapters.django import django_view  # noqa: PLC0415  only services on it have it
        declared = self._where_it_is_called("guard.django", name, options)
        alias: str | None = getattr(self._store, "alias", None)
        return lambda handler: django_view(declared, handler, alias)

    def robyn(self, *, name: str, **options: Unpack[RouteOptions]) -> "Callable[[Handler], RobynEndpoint]":
        """Guard an endpoint of Robyn: a function that takes (request, signed, tx), `async def` or `def`.

        Args:
            name: the operation's name, part of every stored key. Robyn does not tell a handler its path template.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the endpoint is `async def` and the
                store is for threads, or the other way round; or Robyn is not installed.
        """
        with _installed("robyn"):
            from tocsin.guard.adapters.robyn import robyn_endpoint  # noqa: PLC0415  only services on it have it
        declared = self._where_it_is_called("guard.robyn", name, options)
        return lambda handler: robyn_endpoint(declared, handler)

    def litestar(
        self, *, name: str | None = None, writes: bool = True, **options: Unpack[RouteOptions]
    ) -> Callable[[Endpoint], Endpoint]:
        """Guard a handler of Litestar's: a function or a controller's method, `async def` or `def`, below @post.

        It is found by name: `tx`, and `signed` if it wants that, beside whatever Litestar provides.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, routers included.
            writes: False says that the handler writes nothing, and need not take `tx`.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the handler does not take `tx`, or is
                `async def` and the store is for threads, or the other way round; or Litestar is not installed.
        """
        with _installed("litestar"):
            from tocsin.guard.adapters.litestar import litestar_handler  # noqa: PLC0415  only services on it have it
        declared = self._on_a_loop("guard.litestar", name, options)
        return lambda handler: litestar_handler(declared, handler, self._scheme, writes=writes)

    def quart(
        self, *, name: str | None = None, **options: Unpack[RouteOptions]
    ) -> Callable[[Handler], Callable[..., Awaitable[Any]]]:
        """Guard a view of Quart's: a function that takes (signed, tx) and the route's arguments, `async def` or `def`.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, blueprints included.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the view is `async def` and the store
                is for threads, or the other way round; or Quart is not installed.
        """
        with _installed("quart"):
            from tocsin.guard.adapters.quart import quart_view  # noqa: PLC0415  only services on it have it
        declared = self._on_a_loop("guard.quart", name, options)
        return lambda handler: quart_view(declared, handler)

    def _on_threads(self, who: str, name: str | None, options: RouteOptions) -> Callable[[Handler], Guarded[Tx]]:
        """Declares an operation whose handler runs on the thread that calls it."""
        store = store_for_threads(self._store, who)
        key, given = self._split(who, options)
        return lambda handler: self.guarded(handler, key=key, name=name, options=given, store=store)

    def _on_a_loop(self, who: str, name: str | None, options: RouteOptions) -> Callable[[Handler], Guarded[Tx]]:
        """Declares an operation that an event loop is asked for: a plain function runs on a thread that is kept."""
        from tocsin.guard._threads import ThreadedStore  # noqa: PLC0415  only event loops have anyio

        key, given = self._split(who, options)

        def declared(handler: Handler) -> Guarded[Tx]:
            whose = _named(handler, who)
            store: AsyncStore[Tx] = (
                store_for_tasks(self._store, whose)
                if inspect.iscoroutinefunction(handler)
                else ThreadedStore(store_for_threads(self._store, whose))
            )
            return self.guarded(handler, key=key, name=name, options=given, async_store=store)

        return declared

    def _where_it_is_called(
        self, who: str, name: str | None, options: RouteOptions
    ) -> Callable[[Handler], Guarded[Tx]]:
        """Declares an operation that its framework calls on a task or on a thread, whichever its handler is for."""
        key, given = self._split(who, options)

        def declared(handler: Handler) -> Guarded[Tx]:
            whose = _named(handler, who)
            if inspect.iscoroutinefunction(handler):
                tasks = store_for_tasks(self._store, whose)
                return self.guarded(handler, key=key, name=name, options=given, async_store=tasks)
            threads = store_for_threads(self._store, whose)
            return self.guarded(handler, key=key, name=name, options=given, store=threads)

        return declared

    def _split(self, who: str, options: RouteOptions) -> tuple[JsonPointer | BodyDigest | None, Options]:
        """The key, and the rest. Raises TypeError, as any function does for an argument that it does not have."""
        for option in options.keys() - RouteOptions.__annotations__.keys():
            if option in _options_of(type(self)):
                raise TypeError(f"{who}() has no option {option!r}: it is an option of Guard(), for all routes")
            raise TypeError(f"{who}() has no option {option!r}; wanted: {', '.join(RouteOptions.__annotations__)}")
        return options.get("key"), Options(
            options.get("remember"),
            options.get("fingerprint"),
            options.get("answer_days"),
            options.get("claim_days"),
            options.get("sequence"),
        )


@contextmanager
def _installed(framework: str) -> Iterator[None]:
    """Around the import of an adapter: says what to install where its framework is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise GuardError(f"guard.{framework}: {error}; wanted: pip install 'tocsin[{framework}]'") from error


def _named(handler: Handler, who: str) -> str:
    return f"{getattr(handler, '__qualname__', handler)}, guarded by {who}"


def _options_of(guard: type) -> list[str]:
    """What a guard itself is declared with, by name."""
    return [name for name, given in inspect.signature(guard).parameters.items() if given.kind is given.KEYWORD_ONLY]
