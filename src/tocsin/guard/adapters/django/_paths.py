"""The path template under which a view is registered."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from django.http import HttpRequest
from django.urls import URLResolver, get_resolver
from django.utils.translation import override

from tocsin.guard._errors import GuardError


def resolver_of(request: HttpRequest) -> URLResolver:
    """Of all paths that the request could have had: a middleware may have given it other ones than the settings."""
    return get_resolver(getattr(request, "urlconf", None))


def path_template(request: HttpRequest, resolver: URLResolver) -> str:
    """The one path of the view that the request was given to, with every prefix that it is included under.

    Args:
        request: to the view.
        resolver: of the request.

    Raises:
        GuardError: there are several.
    """
    match = request.resolver_match
    wanted = _identity(match.func)
    # A prefix or a word may be in the language of whoever asks; the name may not.
    with override(None):
        found = {path for path, view in _views(resolver.url_patterns, "/") if _identity(view) is wanted}
    if len(found) != 1:
        paths = ", ".join(sorted(found)) or "none"
        raise GuardError(f"{match.view_name} is registered under {len(found)} paths ({paths}); wanted a name=")
    return found.pop()


def _identity(view: Any) -> object:  # noqa: ANN401  whatever can be called
    """The class of a view that is made from one, each time anew; else the function below its decorators."""
    return getattr(view, "cls", None) or getattr(view, "view_class", None) or inspect.unwrap(view)


def _views(patterns: Iterable[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = f"{prefix}{str(pattern.pattern).removeprefix('^')}"
        if hasattr(pattern, "url_patterns"):
            yield from _views(pattern.url_patterns, path)
        else:
            yield path, pattern.callback
