"""What a handler has to be, whatever framework hands requests to it. PURE."""

import inspect
from collections.abc import Callable
from typing import Any

from tocsin.guard._errors import GuardError


def name_of(handler: Callable[..., Any]) -> str:
    """What a handler is called in an error."""
    name: str = getattr(handler, "__qualname__", repr(handler))
    return name


def check_function(handler: Callable[..., Any], wanted: str, *, may_be_method: bool = False) -> None:
    """Refuse what is no function, or gives its answer in pieces.

    Args:
        handler: what the developer wrote.
        wanted: what to say that is wanted in its place.
        may_be_method: whether it may take `self`.

    Raises:
        GuardError: it is no such function.
    """
    is_function = inspect.isfunction(handler)
    if not is_function or (not may_be_method and "self" in inspect.signature(handler).parameters):
        raise GuardError(f"{name_of(handler)} is no plain function; {wanted}")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise GuardError(
            f"{name_of(handler)} yields its answer piece by piece; wanted one that returns it, to be stored"
        )
