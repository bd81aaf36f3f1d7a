"""What is guarded over one store, so that one message cannot take effect once per route.

Rule: it is told apart by handler, not by decoration: an application factory that runs twice guards the same routes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from tocsin.guard._declare import separates_routes
from tocsin.guard._errors import GuardError
from tocsin.signing import KeyRing, Scheme


@dataclass(frozen=True, slots=True)
class Route:
    """One guarded handler.

    Args:
        handler: module and qualified name of the handler.
        name: the operation's explicit name, or None.
        scheme: how its requests are signed.
        keys: whose signatures count.
        shared_secret: whether the developer accepts that a message may take effect on another route too.
    """

    handler: str
    name: str | None
    scheme: Scheme
    keys: KeyRing
    shared_secret: bool

    def could_take(self, other: "Route") -> bool:
        """Whether a message that is signed for the other route could take effect on this one as well."""
        if self.handler == other.handler or (self.name is not None and self.name == other.name):
            return False
        if separates_routes(self.scheme) or separates_routes(other.scheme):
            return False
        return any(ours.secret.signs_like(theirs.secret) for ours in self.keys.entries for theirs in other.keys.entries)


class Registry:
    """The routes over one store."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._names: dict[str, str] = {}

    def add(self, route: Route) -> None:
        """Register a route at start-up.

        Raises:
            GuardError: a message for another route could take effect on it.
        """
        for other in self._routes:
            if route.could_take(other) and not (route.shared_secret and other.shared_secret):
                raise GuardError(
                    f"{route.handler} and {other.handler} verify with one secret, and the scheme "
                    f"{route.scheme.name!r} does not sign the path: a message for one would take effect on the other "
                    "too; wanted a secret for each, a scheme that signs the path, one name= for both, or "
                    "shared_secret=True"
                )
        self._routes.append(route)

    def name(self, route: Route, name: str) -> None:
        """Give a route the name under which its claims are stored.

        Raises:
            GuardError: a handler that is not meant to share its claims has that name.
        """
        owner = self._names.setdefault(name, route.handler)
        if owner != route.handler and route.name is None:
            raise GuardError(f"{owner} and {route.handler} are both guarded as {name!r}; wanted a name= for each")


_registries: WeakKeyDictionary[object, Registry] = WeakKeyDictionary()


def registry_of(store: object) -> Registry:
    """The registry of a store, the same for every guard over it."""
    return _registries.setdefault(store, Registry())


def handler_name(handler: Callable[..., object]) -> str:
    """Where a handler is defined."""
    return f"{handler.__module__}.{getattr(handler, '__qualname__', type(handler).__qualname__)}"
