"""RFC 6901 pointers into JSON that is parsed strictly. PURE.

Rule: a body has one meaning. Duplicate members are refused (parsers differ on which one counts), as are encodings other
than UTF-8, NaN and Infinity, and nesting too deep for the parser; none of them raises anything but PointerError.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from tocsin.signing._errors import SchemeError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

# The most an identifier may have: bytes of UTF-8, or digits. Longer ones are not ids, and int() is quadratic.
MAX_IDENTIFIER_BYTES = 255
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_BAD_ESCAPE = re.compile(r"~(?![01])")


class PointerError(ValueError):
    """A body is no strict JSON, or the pointer's value is not there or is no identifier."""


class AbsentError(PointerError):
    """There is nothing at the pointer's place."""


@dataclass(frozen=True, slots=True)
class JsonPointer:
    """A place in a JSON document. Build it with `json_pointer`.

    Args:
        text: the pointer as written: "/order/id".
        tokens: its reference tokens, unescaped.
    """

    text: str
    tokens: tuple[str, ...]

    def __str__(self) -> str:
        return self.text

    def resolve(self, document: Json) -> Json:
        """The value at this place.

        Raises:
            PointerError: there is none.
        """
        value = document
        for token in self.tokens:
            value = step(value, token, self.text)
        return value

    def identifier(self, body: bytes) -> str | int:
        """What identifies the operation: a non-empty string of at most 255 bytes in UTF-8, or an integer.

        Raises:
            PointerError: the body is no strict JSON, or there is something else at this place.
        """
        return as_identifier(self.resolve(parse_json(body)), self.text)


def is_pointer(text: str) -> bool:
    """Whether a text is an RFC 6901 pointer, other than the one to the whole document."""
    return text.startswith("/") and _BAD_ESCAPE.search(text) is None


def json_pointer(pointer: str) -> JsonPointer:
    """Compile an RFC 6901 pointer, such as "/order_id".

    Raises:
        SchemeError: it does not begin with "/", or holds a "~" that is neither "~0" nor "~1". The pointer "" to the
            whole document is refused as well: a document is no identifier.
    """
    if not is_pointer(pointer):
        raise SchemeError(f"pointer {pointer!r}: wanted RFC 6901 such as '/order_id', with '~' as '~0' and '/' as '~1'")
    tokens = tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))
    return JsonPointer(pointer, tokens)


def resolve(document: Json, pointer: str) -> Json:
    """The value at a pointer.

    Raises:
        SchemeError: the pointer is malformed.
        PointerError: there is no such value.
    """
    return json_pointer(pointer).resolve(document)


def parse_json(body: bytes) -> Json:
    """Parse strictly.

    Raises:
        PointerError: not UTF-8, not JSON, a member given twice, an integer of more than 255 digits, NaN, Infinity, or
            nested deeper than the parser can go.
    """
    try:
        text = body.decode("utf-8")
        document: Json = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise PointerError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise PointerError(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise PointerError("the body is nested too deeply") from None
    return document


def as_identifier(value: Json, place: str) -> str | int:
    """The value, if it may identify an operation.

    Raises:
        PointerError: it is empty, too long, not Unicode, or neither a string nor an integer.
    """
    if isinstance(value, str):
        try:
            length = len(value.encode("utf-8"))
        except UnicodeEncodeError:
            raise PointerError(f"{place} holds a lone surrogate, which is no text") from None
        if not 1 <= length <= MAX_IDENTIFIER_BYTES:
            raise PointerError(f"{place} has {length} bytes; wanted 1 to {MAX_IDENTIFIER_BYTES}")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise PointerError(f"{place} is {_json_type(value)}; wanted a string or an integer")


def step(value: Json, token: str, place: str) -> Json:
    """The member or element that a reference token names.

    Raises:
        PointerError: there is none.
    """
    # A parsed body holds dict and list, and asking for those first is several times as fast.
    if isinstance(value, dict | Mapping):
        if token in value:
            return value[token]
    elif isinstance(value, list | Sequence) and not isinstance(value, str):
        if _INDEX.fullmatch(token) and int(token) < len(value):
            return value[int(token)]
    else:
        raise PointerError(f"{place}: {_json_type(value)} has no members")
    raise AbsentError(f"{place} is not there")


def _json_type(value: Json) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    return "null" if value is None else "a list"


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise PointerError("the body gives a member twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_IDENTIFIER_BYTES:
        raise PointerError(f"the body holds an integer of more than {MAX_IDENTIFIER_BYTES} digits")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise PointerError(f"the body holds {name}, which is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer, parse_constant=_constant)
