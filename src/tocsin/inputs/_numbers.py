"""Numbers and lists in which an effect may show, by their names. PURE."""

import math
from collections.abc import Iterator, Mapping, Sequence

from tocsin.inputs._words import vocabulary, words

# Of something that is used up, and of something that grows.
_FALLING = vocabulary("stock balance available remaining left inventory credit credits free quota")
_GROWING = vocabulary("count total used uses sold applied orders reservations redemptions number quantity amount")
_NEVER = vocabulary("id page limit offset timestamp time version status code port price year")
_DEEPEST = 4


def falls(name: str) -> bool:
    """Whether a name is one of something that an effect lowers."""
    return bool(words(name) & _FALLING)


def weight(name: str, *, is_list: bool) -> int:
    """How much speaks for a member of this name; 0 where nothing does."""
    named = words(name)
    if named & (_FALLING | _GROWING):
        return 4
    if named & _NEVER:
        return 0
    return 2 if is_list else 1


def leaves(document: object) -> Iterator[tuple[str, str, object]]:
    """Every pointer, name and value of a JSON document that is no object, lists included."""
    yield from _leaves(document, "", "", 0)


def _leaves(value: object, pointer: str, name: str, depth: int) -> Iterator[tuple[str, str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items() if depth < _DEEPEST else ():
            token = str(key).replace("~", "~0").replace("/", "~1")
            yield from _leaves(item, f"{pointer}/{token}", str(key), depth + 1)
        return
    yield pointer, name, value


def is_number(value: object) -> bool:
    """Whether it is a number of JSON that can be reckoned with: 1e999 is infinite for Python, and for a plan."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, int) and not isinstance(value, bool)


def is_list(value: object) -> bool:
    """Whether it is a list of JSON."""
    return isinstance(value, Sequence) and not isinstance(value, str)
