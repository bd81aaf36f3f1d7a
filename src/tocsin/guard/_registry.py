"""What is guarded over one store, so that one message cannot take effect once per route.

Rule: routes of one name are one, for they share their claims. A handler without a name gets one at its first request;
until then it is told apart by where it is defined, because an application factory that runs twice guards the same
routes. If such handlers turn out to stand under two paths, they are two routes, and the second is refused.

LIMIT: it is told for one store object of one process. Two objects over one database have two registries.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
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
        if self.name == other.name and (self.name is not None or self.handler == other.handler):
            return False
        if separates_routes(self.scheme) or separates_routes(other.scheme):
            return False
        return any(ours.secret.signs_like(theirs.secret) for ours in self.keys.entries for theirs in other.keys.entries)

    def refuse_beside(self, others: "Iterable[Route]") -> None:
        """Refuse this route if a message for one of the others could take effect on it.

        Raises:
            GuardError: it could, and not both were declared with shared_secret.
        """
        for other in others:
            if not (self.shared_secret and other.shared_secret) and self.could_take(other):
                raise GuardError(
                    f"{self} and {other} verify with one secret, and the scheme {self.scheme.name!r} does not sign the "
                    "path: a message for one would take effect on the other too; wanted a secret for each, a scheme "
                    "that signs the path, one name= for both, or Guard(..., shared_secret=True)"
                )

    def __str__(self) -> str:
        return self.handler if self.name is None else f"{self.handler} as {self.name!r}"


class Registry:
    """The routes over one store."""

    def __init__(self) -> None:
        self._declared: list[Route] = []
        self._named: list[Route] = []
        self._owners: dict[str, str] = {}

    def add(self, route: Route) -> None:
        """Register a route at start-up.

        Raises:
            GuardError: a message for another route could take effect on it.
        """
        route.refuse_beside(self._declared)
        self._declared.append(route)

    def name(self, route: Route, name: str) -> None:
        """Give a route the name under which its claims are stored.

        Raises:
            GuardError: a handler that is not meant to share its claims has that name; or a handler that is defined in
                the same place has another one, and a message for it could take effect on this route.
        """
        named = replace(route, name=name)
        named.refuse_beside(self._named)
        owner = self._owners.setdefault(name, route.handler)
        if owner != route.handler and route.name is None:
            raise GuardError(f"{owner} and {route.handler} are both guarded as {name!r}; wanted a name= for each")
        self._named.append(named)


_registries: WeakKeyDictionary[object, Registry] = WeakKeyDictionary()


def registry_of(store: object) -> Registry:
    """The registry of a store, the same for every guard over it."""
    return _registries.setdefault(store, Registry())


def handler_name(handler: Callable[..., object]) -> str:
    """Where a handler is defined."""
    return f"{handler.__module__}.{getattr(handler, '__qualname__', type(handler).__qualname__)}"
