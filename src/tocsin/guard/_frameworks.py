"""What Guard has for frameworks beyond Flask and FastAPI: for each of them one method and one adapter.

Rule: an adapter is imported when its method is called, because a service has one framework and not all of them.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Container
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack

from tocsin.guard._declare import Options
from tocsin.guard._errors import GuardError
from tocsin.guard._fingerprint import Fingerprint
from tocsin.guard._guarded import Guarded
from tocsin.guard._keys import BodyDigest
from tocsin.guard._kinds import store_for_tasks, store_for_threads
from tocsin.guard._sequence import Sequence
from tocsin.guard._store import AsyncStore, Store, Tx
from tocsin.signing import JsonPointer

if TYPE_CHECKING:  # a service has one framework, and no type stubs
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from tocsin.guard.adapters.robyn import Endpoint as RobynEndpoint
    from tocsin.guard.adapters.starlette import GuardedRoute
    from tocsin.guard.adapters.wsgi import GuardedApp

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


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

    def wsgi(
        self, *, name: str, only: "Callable[[WSGIEnvironment], bool] | None" = None, **options: Unpack[RouteOptions]
    ) -> "Callable[[WSGIApplication], GuardedApp[Tx]]":
        """Guard a WSGI application, which finds environ["tocsin.signed"] and environ["tocsin.tx"].

        Args:
            name: the operation's name, part of every stored key. An application has no path of its own to be named by.
            only: which requests are guarded; the others go through as they are, without "tocsin.tx". Default: all.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; or the store is for tasks only.
        """
        from tocsin.guard.adapters.wsgi import GuardedApp  # noqa: PLC0415  a service on ASGI needs none of it

        store = store_for_threads(self._store, "guard.wsgi")
        key, given = _split(options)
        return lambda app: GuardedApp(self.guarded(app, key=key, name=name, options=given, store=store), app, only)

    def starlette(
        self, *, name: str | None = None, **options: Unpack[RouteOptions]
    ) -> "Callable[[Callable[..., Any]], GuardedRoute[Tx]]":
        """Guard an endpoint of Starlette: a function that takes (request, signed, tx), `async def` or `def`.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, mounts included.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the endpoint is `async def` and the
                store is for threads, or the other way round; or Starlette is not installed.
        """
        try:
            from tocsin.guard.adapters.starlette import GuardedRoute  # noqa: PLC0415  only services on it have it
        except ModuleNotFoundError as error:
            raise GuardError(f"guard.starlette: {error}; wanted: pip install 'tocsin[starlette]'") from error
        key, given = _split(options)

        def guarded(handler: Callable[..., Any]) -> "GuardedRoute[Tx]":
            store = self._of_endpoint(handler, "guard.starlette")
            return GuardedRoute(self.guarded(handler, key=key, name=name, options=given, async_store=store), handler)

        return guarded

    def django(
        self, *, name: str | None = None, **options: Unpack[RouteOptions]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Guard a view of Django's or of REST framework's: a function or a method, `async def` or `def`.

        It stands directly above what takes (request, signed, tx) and the route's arguments: below @api_view.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, includes included.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the view is `async def` and the store
                is for threads, or the other way round; or Django is not installed.
        """
        try:
            from tocsin.guard.adapters.django import django_view  # noqa: PLC0415  only services on it have it
        except ModuleNotFoundError as error:
            raise GuardError(f"guard.django: {error}; wanted: pip install 'tocsin[django]'") from error
        key, given = _split(options)
        alias: str | None = getattr(self._store, "alias", None)

        def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
            who = f"{getattr(handler, '__qualname__', handler)}, guarded by guard.django"
            if inspect.iscoroutinefunction(handler):
                on_tasks = store_for_tasks(self._store, who)
                declared = self.guarded(handler, key=key, name=name, options=given, async_store=on_tasks)
            else:
                on_threads = store_for_threads(self._store, who)
                declared = self.guarded(handler, key=key, name=name, options=given, store=on_threads)
            return django_view(declared, handler, alias)

        return guarded

    def robyn(self, *, name: str, **options: Unpack[RouteOptions]) -> "Callable[[Callable[..., Any]], RobynEndpoint]":
        """Guard an endpoint of Robyn: a function that takes (request, signed, tx), `async def` or `def`.

        Args:
            name: the operation's name, part of every stored key. Robyn does not tell a handler its path template.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the endpoint is `async def` and the
                store is for threads, or the other way round; or Robyn is not installed.
        """
        try:
            from tocsin.guard.adapters.robyn import robyn_endpoint  # noqa: PLC0415  only services on it have it
        except ModuleNotFoundError as error:
            raise GuardError(f"guard.robyn: {error}; wanted: pip install 'tocsin[robyn]'") from error
        key, given = _split(options)

        def guarded(handler: Callable[..., Any]) -> "RobynEndpoint":
            who = f"{getattr(handler, '__qualname__', handler)}, guarded by guard.robyn"
            if inspect.iscoroutinefunction(handler):
                tasks = store_for_tasks(self._store, who)
                return robyn_endpoint(
                    self.guarded(handler, key=key, name=name, options=given, async_store=tasks), handler
                )
            threads = store_for_threads(self._store, who)
            return robyn_endpoint(self.guarded(handler, key=key, name=name, options=given, store=threads), handler)

        return guarded

    def litestar(
        self, *, name: str | None = None, writes: bool = True, **options: Unpack[RouteOptions]
    ) -> "Callable[[Endpoint], Endpoint]":
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
        try:
            from tocsin.guard.adapters.litestar import litestar_handler  # noqa: PLC0415  only services on it have it
        except ModuleNotFoundError as error:
            raise GuardError(f"guard.litestar: {error}; wanted: pip install 'tocsin[litestar]'") from error
        key, given = _split(options)

        def guarded(handler: Endpoint) -> Endpoint:
            store = self._of_endpoint(handler, "guard.litestar")
            declared = self.guarded(handler, key=key, name=name, options=given, async_store=store)
            return litestar_handler(declared, handler, writes=writes)

        return guarded

    def quart(
        self, *, name: str | None = None, **options: Unpack[RouteOptions]
    ) -> "Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]":
        """Guard a view of Quart's: a function that takes (signed, tx) and the route's arguments, `async def` or `def`.

        Args:
            name: the operation's name, part of every stored key. Default: the whole path template, blueprints included.
            options: see RouteOptions.

        Raises:
            GuardError: the declaration would let one message take effect twice; the view is `async def` and the store
                is for threads, or the other way round; or Quart is not installed.
        """
        try:
            from tocsin.guard.adapters.quart import quart_view  # noqa: PLC0415  only services on it have it
        except ModuleNotFoundError as error:
            raise GuardError(f"guard.quart: {error}; wanted: pip install 'tocsin[quart]'") from error
        key, given = _split(options)

        def guarded(handler: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
            store = self._of_endpoint(handler, "guard.quart")
            return quart_view(self.guarded(handler, key=key, name=name, options=given, async_store=store), handler)

        return guarded

    def _of_endpoint(self, handler: Callable[..., Any], who: str) -> AsyncStore[Tx]:
        """The store as an event loop uses it: for a coroutine as it is, for a plain function on a thread that is kept.

        Raises:
            GuardError: it is not the kind of store that the handler wants.
        """
        from tocsin.guard._threads import ThreadedStore  # noqa: PLC0415  only event loops have anyio

        who = f"{getattr(handler, '__qualname__', handler)}, guarded by {who}"
        if inspect.iscoroutinefunction(handler):
            return store_for_tasks(self._store, who)
        return ThreadedStore(store_for_threads(self._store, who))


def _split(options: RouteOptions) -> tuple[JsonPointer | BodyDigest | None, Options]:
    return options.get("key"), Options(
        options.get("remember"),
        options.get("fingerprint"),
        options.get("answer_days"),
        options.get("claim_days"),
        options.get("sequence"),
    )
