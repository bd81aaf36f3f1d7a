"""Read TOML tables strictly: every key known, every value of its type. PURE.

Rule: a plan that is not understood whole is refused whole, with the key, the value refused and the value wanted.
"""

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from tocsin.scan._errors import PlanError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean "x"?', or the names there are, for the end of an error message."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else f"; known: {', '.join(names)}"


class Table:
    """One TOML table, read key by key.

    Args:
        values: what tomllib parsed.
        where: how the plan's author calls this table: "[target]".
        known: all keys that may stand in it.
        later: keys of the format that this version cannot act on, each with the reason.
    """

    def __init__(
        self, values: object, where: str, known: Iterable[str], later: Mapping[str, str] | None = None
    ) -> None:
        if not isinstance(values, Mapping):
            raise PlanError(f"{where} must be a table, not {_shown(values)}")
        self._values: Mapping[str, Any] = values
        self.where = where
        later = later or {}
        known = set(known)
        for key in values:
            if key in later:
                raise PlanError(f"{where} {key}: not yet: {later[key]}")
            if key not in known:
                raise PlanError(f'{where} has an unknown key "{key}"{nearest(key, known | set(later))}')

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        return self._typed(key, default, (str,), "a string")

    def whole(self, key: str, default: int | None = None, *, least: int = 0, most: int | None = None) -> int:
        """A whole number of at least `least`, and of at most `most`."""
        wanted = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
        value = self._typed(key, default, (int,), wanted)
        if value < least or (most is not None and value > most):
            raise PlanError(f"{self.where} {key} = {value}: wanted {wanted}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number. TOML knows nan and inf too; nothing here can be counted or timed with them."""
        value = self._typed(key, default, (int, float), "a number")
        if not math.isfinite(value):
            raise self.wanted(key, "a number")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.wanted(key, "true or false")
        return value

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings."""
        value = self._values.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wanted(key, "a list of strings")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        """A table of strings, empty where absent."""
        value = self._values.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
            raise self.wanted(key, "a table of strings")
        return dict(value)

    def any(self, key: str) -> Any:  # noqa: ANN401  the caller looks at the type
        """Whatever stands there, or None."""
        return self._values.get(key)

    def wanted(self, key: str, what: str) -> PlanError:
        """The error that says what stands at `key` and what is wanted there."""
        return PlanError(f"{self.where} {key} = {_shown(self._values.get(key))}: wanted {what}")

    def _typed(self, key: str, default: T | None, types: tuple[type, ...], what: str) -> T:
        value = self._values.get(key, default)
        if value is None:
            raise PlanError(f'{self.where} lacks "{key}": wanted {what}')
        if not isinstance(value, types) or isinstance(value, bool):
            raise self.wanted(key, what)
        return value  # type: ignore[return-value]  # isinstance above; T is one of `types`


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  one line of a terminal
