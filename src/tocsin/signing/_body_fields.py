"""Signed fields of a body, and signatures that stand in one. PURE.

Rule: a field is a string or an integer, as text. A field inside a list is signed alone, and the list's other elements
would ride along unsigned: a list on the way to a signed field has that one element, or the message is refused.
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tocsin.signing._errors import Malformed, SchemeError
from tocsin.signing._form import form_members, render_form
from tocsin.signing._pointer import AbsentError, Json, JsonPointer, PointerError, as_identifier, parse_json, step


class BodyFormat(NamedTuple):
    """How a body is read and written."""

    parse: Callable[[bytes], Json]
    render: Callable[[Any], bytes]


def _render_json(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


BODY_FORMATS: Mapping[str, BodyFormat] = MappingProxyType(
    {"json": BodyFormat(parse_json, _render_json), "form": BodyFormat(form_members, render_form)}
)


def parse_body(body: bytes, format_name: str) -> Json:
    """The body as a document.

    Raises:
        Malformed: it is not of that format.
    """
    try:
        return BODY_FORMATS[format_name].parse(body)
    except PointerError as error:
        raise Malformed("the body", f"cannot be read: {error}") from None


def field_text(document: Json, pointer: JsonPointer, *, optional: bool = False) -> str:
    """The text of a field; "" for an optional one that is not there.

    Raises:
        Malformed: the field is not there, is no string or integer, or stands in a list of several.
    """
    try:
        value = _sole(document, pointer)
        return value if optional and value == "" else str(as_identifier(value, pointer.text))
    except AbsentError as error:
        if optional:
            return ""
        raise Malformed("the body", f"has no signed field: {error}") from None
    except PointerError as error:
        raise Malformed("the body", f"has no usable signed field: {error}") from None


def with_fields(body: bytes, format_name: str, fields: Mapping[JsonPointer, str]) -> bytes:
    """The body with some fields set, rendered anew; their parents must be there.

    Raises:
        SchemeError: the body is not of that format, or there is no such place in it.
    """
    try:
        document = BODY_FORMATS[format_name].parse(body)
        for pointer, text in fields.items():
            _set(document, pointer, text)
    except PointerError as error:
        raise SchemeError(f"the message cannot be signed: {error}") from None
    return BODY_FORMATS[format_name].render(document)


def _sole(document: Json, pointer: JsonPointer) -> Json:
    value = document
    for token in pointer.tokens:
        if isinstance(value, list) and len(value) != 1:
            raise PointerError(
                f"{pointer} leads through a list of {len(value)}; wanted one element, for no other would be signed"
            )
        value = step(value, token, pointer.text)
    return value


def _set(document: Json, pointer: JsonPointer, text: str) -> None:
    parent = _sole(document, JsonPointer(pointer.text, pointer.tokens[:-1]))
    if not isinstance(parent, dict):
        raise PointerError(f"{pointer}: its parent is no object")
    # A timestamp that the caller has as a number stays a number.
    is_number = isinstance(parent.get(pointer.tokens[-1]), int)
    parent[pointer.tokens[-1]] = int(text) if is_number else text
