"""What a schema of OpenAPI says a body may look like, and where numbers stand in an answer. PURE.

Rule: an example of the author's own is better than anything made from types; and nothing is followed without end, for a
schema may contain itself.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from tocsin.inputs._body import Value
from tocsin.inputs._document import Cursor
from tocsin.inputs._errors import InputError

_DEEPEST: Final = 6
_MOST_VALUES: Final = 2_000
# By format; the number makes two of them two.
_STRINGS: Final[Mapping[str, str]] = {
    "uuid": "00000000-0000-4000-8000-{:012d}",
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "email": "somebody@example.com",
    "uri": "https://example.com/",
    "byte": "",
}


class Examples:
    """Makes one value of a schema; counts, so that no document makes it endless."""

    def __init__(self) -> None:
        self._made = 0

    def of_media(self, media: Cursor) -> Value:
        """A body of a media type object: its example, else one of its schema's."""
        given = _given(media)
        if given is not None:
            return self._copied(given)
        schema = media.get("schema")
        return None if schema is None else self.of_schema(schema)

    def of_schema(self, schema: Cursor, depth: int = 0) -> Value:
        """A value that the schema accepts, as far as its types tell."""
        self._count(schema)
        if not isinstance(schema.value, dict):
            return None  # `true`: anything at all
        given = _given(schema)
        if given is not None:
            return self._copied(given)
        if depth > _DEEPEST:
            return None
        choice = schema.get("oneOf") or schema.get("anyOf")
        if choice is not None:
            first = next(choice.each(), None)
            return None if first is None else self.of_schema(first, depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: Cursor, depth: int) -> Value:
        kind = _type(schema)
        if kind == "object":
            return {name: self.of_schema(inner, depth + 1) for name, inner in _properties(schema, depth).items()}
        if kind == "array":
            items = schema.get("items")
            return [] if items is None else [self.of_schema(items, depth + 1)]
        if kind in {"integer", "number"}:
            return _least(schema, is_whole=kind == "integer")
        if kind == "boolean":
            return True
        if kind == "string":
            return _STRINGS.get(schema.text("format"), "text-{}").format(self._made)
        return None

    def _copied(self, given: Cursor, depth: int = 0) -> Value:
        """An example as it stands, within bounds: YAML's aliases can make a small text an endless value."""
        self._count(given)
        value = given.value
        if depth > 2 * _DEEPEST:
            return None
        if isinstance(value, dict):
            return {
                str(key): self._copied(Cursor(given.library, given.file, (*given.tokens, str(key)), inner), depth + 1)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [
                self._copied(Cursor(given.library, given.file, (*given.tokens, str(place)), inner), depth + 1)
                for place, inner in enumerate(value)
            ]
        return value if isinstance(value, str | int | bool) or _is_number(value) else None  # type: ignore[return-value]

    def _count(self, where: Cursor) -> None:
        self._made += 1
        if self._made > _MOST_VALUES:
            raise InputError(f"{where.place()}: a body of more than {_MOST_VALUES} values: wanted a smaller example")


def _least(schema: Cursor, *, is_whole: bool) -> Value:
    """The smallest number that a schema allows, 1 where it does not say."""
    for key, more in (("minimum", 0), ("exclusiveMinimum", 1)):
        found = schema.get(key)
        # In OpenAPI 3.0 the second one is a boolean, beside the first one.
        if found is not None and _is_number(found.value):
            number: float = found.value + more  # type: ignore[operator]  # a number
            # Some write 2.0 where only a whole number is allowed.
            return math.ceil(number) if is_whole else number
    return 1


def numbers(schema: Cursor) -> Iterator[tuple[str, str, bool]]:
    """Pointer, name and whether it is a list, of every number and list in an answer of this schema."""
    yield from _numbers(schema, "", "", 0, [_MOST_VALUES])


def _numbers(schema: Cursor, pointer: str, name: str, depth: int, left: list[int]) -> Iterator[tuple[str, str, bool]]:
    left[0] -= 1
    if depth > _DEEPEST or left[0] < 0 or not isinstance(schema.value, dict):
        return
    kind = _type(schema)
    if kind in {"integer", "number", "array"}:
        yield pointer, name, kind == "array"
    elif kind == "object":
        for key, inner in _properties(schema, depth, is_answer=True).items():
            token = key.replace("~", "~0").replace("/", "~1")
            yield from _numbers(inner, f"{pointer}/{token}", key, depth + 1, left)


def _properties(
    schema: Cursor, depth: int, *, is_answer: bool = False, merged: set[int] | None = None
) -> dict[str, Cursor]:
    """The members of an object: those that are required, else all; those of allOf too.

    Args:
        schema: of the object.
        depth: of it, where nothing is followed without end.
        is_answer: whether all are wanted, those that are only read too.
        merged: identities of the schemas whose members are there already: several parts may lead to one.
    """
    merged = set() if merged is None else merged
    merged.add(id(schema.value))
    found: dict[str, Cursor] = {}
    parts = schema.get("allOf")
    for part in parts.each() if parts is not None and depth <= _DEEPEST else ():
        if isinstance(part.value, dict) and id(part.value) not in merged:
            found |= _properties(part, depth + 1, is_answer=is_answer, merged=merged)
    own = schema.get("properties")
    members = {} if own is None else dict(own.items())
    required = _required(schema)
    for name, inner in members.items():
        is_read_only = isinstance(inner.value, dict) and inner.value.get("readOnly") is True
        if is_answer or ((name in required or not required) and not is_read_only):
            found[name] = inner
    return found


def _required(schema: Cursor) -> frozenset[str]:
    listed = schema.get("required")
    return frozenset() if listed is None else frozenset(str(name.value) for name in listed.each())


def _type(schema: Cursor) -> str:
    """Of OpenAPI 3.0 (a word) and 3.1 (perhaps a list with "null" in it); else what its keys imply."""
    kind = schema.get("type")
    if kind is not None:
        kinds = kind.value if isinstance(kind.value, list) else [kind.value]
        return next((one for one in kinds if isinstance(one, str) and one != "null"), "")
    if schema.get("properties") is not None or schema.get("allOf") is not None:
        return "object"
    return "array" if schema.get("items") is not None else ""


def _given(place: Cursor) -> Cursor | None:
    """What an author has written as an example; the keys that hold one, the best first."""
    for key in ("example", "const", "default"):
        found = place.get(key)
        if found is not None and found.value is not None:
            return found
    examples = place.get("examples")
    if examples is not None and isinstance(examples.value, dict):
        first = next((inner for _, inner in examples.items()), None)
        return first.get("value") if first is not None and isinstance(first.value, dict) else None
    for listed in (examples, place.get("enum")):
        if listed is not None:
            return next(listed.each(), None)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 10**15  # noqa: PLR0124
