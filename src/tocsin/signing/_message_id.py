"""The message id: what stays the same when a sender sends a message again, and is signed. PURE.

Rule: it is read only after the signature has passed, and a bad one is no reason to reject the signature: it is absent,
with a reason that the guard answers with 400.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import AnyStr, TypeAlias

from tocsin.signing._errors import SchemeError
from tocsin.signing._message import Message
from tocsin.signing._pointer import Json, JsonPointer, PointerError, as_identifier, json_pointer, parse_json
from tocsin.signing._template import is_field_name

# The bound of Stripe's Idempotency-Key, and of an index on a VARCHAR(255) column.
MAX_ID_CHARACTERS = 255
# draft-ietf-httpapi-idempotency-key-header section 2: this field's value is a structured-field string, hence quoted;
# most clients send it bare.
_QUOTED_FIELD = "idempotency-key"
_VISIBLE = re.compile(f"[!-~]{{1,{MAX_ID_CHARACTERS}}}")
# What nearly all its values are: bare, or quoted without an escape.
_PLAINLY_QUOTED = re.compile(rf'"([!#-\[\]-~]{{1,{MAX_ID_CHARACTERS}}})"|([!#-~][!-~]{{0,{MAX_ID_CHARACTERS - 1}}})')


@dataclass(frozen=True, slots=True)
class MessageId:
    """Where a scheme's message id stands: in a signed header, or in the signed body. Exactly one is given.

    Args:
        header: a field name: "Idempotency-Key".
        pointer: an RFC 6901 pointer into the JSON body: "/id".

    Raises:
        SchemeError: both or neither is given, or it is not well formed.
    """

    header: str | None = None
    pointer: str | None = None
    compiled: JsonPointer | None = field(init=False, repr=False, compare=False)
    plain: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.header is None) == (self.pointer is None):
            raise SchemeError("message_id: wanted either a header or a pointer into the JSON body")
        if self.header is not None and not is_field_name(self.header):
            raise SchemeError(f"message_id: {self.header!r} is no field name")
        object.__setattr__(self, "compiled", None if self.pointer is None else json_pointer(self.pointer))
        is_quoted = (self.header or "").lower() == _QUOTED_FIELD
        object.__setattr__(self, "plain", _PLAINLY_QUOTED if is_quoted else _VISIBLE)

    def __str__(self) -> str:
        return f"header {self.header}" if self.header is not None else f"{self.pointer} in the body"


@dataclass(slots=True, unsafe_hash=True)
class FoundId:
    """A message id, or why there is none.

    Args:
        value: the id; an integer where the body holds an integer: 17 and "17" are two ids.
        error: why there is none, or "".
    """

    value: str | int | None
    error: str = ""


Delimiters: TypeAlias = tuple[str, str]


def find_message_id(
    rule: MessageId | None, message: Message, delimiters: Delimiters, parse: Callable[[bytes], Json] = parse_json
) -> FoundId:
    """The message id of a verified message.

    Args:
        rule: where it stands, or None for a scheme without one.
        message: the verified message.
        delimiters: for a header, those literals before and after it in the signed content that an id could shift.
        parse: reads the body, for an id in it.
    """
    if rule is not None and rule.header is not None:
        return _in_header(rule, rule.header, message, delimiters)
    if rule is not None and rule.compiled is not None:
        return _in_body(rule.compiled, message.body, parse)
    return FoundId(None)


def is_delimited(text: AnyStr, delimiters: tuple[AnyStr, AnyStr]) -> bool:
    """Whether a text ends where its delimiters in the signed content say, and nowhere else.

    In "{nonce}.{body}" a nonce with a full stop could hand its end to the body, or take the body's beginning, under
    one and the same signature: an old message with a new nonce.
    """
    before, after = delimiters
    ends = not after or (text + after).find(after) == len(text)
    begins = not before or (before + text).rfind(before) == 0
    return ends and begins


def delimiters_of_id(delimiters: Delimiters) -> Delimiters:
    """The delimiters without those that no id can hold, being visible ASCII: these are found again beside any."""
    before, after = [text if all("!" <= character <= "~" for character in text) else "" for text in delimiters]
    return before, after


def _in_header(rule: MessageId, name: str, message: Message, delimiters: Delimiters) -> FoundId:
    values = message.values(name)
    if len(values) != 1:
        return FoundId(None, f"{name} is given more than once" if values else f"{name} is missing")
    (value,) = values
    plain = rule.plain.fullmatch(value)
    if plain is not None:
        text: str | None = plain[plain.lastindex or 0]
    else:
        text = _unquoted(value) if rule.plain is _PLAINLY_QUOTED else value
        if text is None:
            return FoundId(None, f"{name} begins with a quote and is no structured-field string")
        if _VISIBLE.fullmatch(text) is None:
            return FoundId(None, f"{name} is not 1 to {MAX_ID_CHARACTERS} visible ASCII characters")
    if not is_delimited(value, delimiters):
        return FoundId(None, f"{name} contains what separates it in the signed content")
    return FoundId(text)


def _unquoted(value: str) -> str | None:
    """The text of a bare or quoted value (RFC 9651 section 4.2.5), None where the quotes are not well formed."""
    if not value.startswith('"'):
        return value
    text: list[str] = []
    characters = iter(value[1:])
    for character in characters:
        if character == '"':
            return "".join(text) if next(characters, None) is None else None
        if character == "\\":
            character = next(characters, "")  # noqa: PLW2901  the escaped character stands for the pair
            if character not in {'"', "\\"}:
                return None
        text.append(character)
    return None


def _in_body(pointer: JsonPointer, body: bytes, parse: Callable[[bytes], Json]) -> FoundId:
    try:
        return FoundId(as_identifier(pointer.resolve(parse(body)), pointer.text))
    except PointerError as error:
        return FoundId(None, str(error))
