"""What Flask and Quart have in common, as far as the guard has to know it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from tocsin.guard._errors import GuardError


def status_of(error: HTTPException) -> int:
    """What an HTTP error is answered with: abort() takes a whole response too, and has no code then."""
    return error.get_response().status_code if error.code is None else error.code


def check_no_class(handler: Callable[..., object], who: str) -> None:
    """Refuse the one view of a class, which `View.decorators` is applied to: it finds its method when it is called.

    Raises:
        GuardError: it is such a view.
    """
    if getattr(handler, "__qualname__", "") == "View.as_view.<locals>.view":
        raise GuardError(
            f"{handler.__module__}.{handler.__name__} is the view of a whole class, which takes no signed and no tx; "
            f"wanted {who} on a function that takes (signed, tx)"
        )


def path_template(
    handler: Callable[..., object], url_map: Map, view_functions: Mapping[str, Callable[..., Any]]
) -> str:
    """The one path under which a handler is registered.

    Raises:
        GuardError: there are several, or none.
    """
    plain = inspect.unwrap(handler)
    found = {
        rule.rule
        for rule in url_map.iter_rules()
        if rule.endpoint in view_functions and inspect.unwrap(view_functions[rule.endpoint]) is plain
    }
    if len(found) != 1:
        paths = ", ".join(sorted(found)) or "none"
        raise GuardError(f"{handler.__qualname__} is registered under {len(found)} paths ({paths}); wanted a name=")
    return found.pop()
