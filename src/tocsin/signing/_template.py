"""Templates such as "t={timestamp},v1={signature}": literals and placeholders. PURE.

Rule: a brace always opens or closes a placeholder. There is no escape, because "{{timestamp}}" is how a plan spells a
variable, and signing the literal text "{timestamp}" instead would go unnoticed.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tocsin.signing._errors import SchemeError
from tocsin.signing._nearest import unknown
from tocsin.signing._pointer import is_pointer

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# RFC 9110 section 5.6.2: the characters of a field name.
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A part that is filled in.

    Args:
        kind: its name: "body", "timestamp", "header".
        argument: what stands after its colon: a header's name, a pointer into the body; else "".
    """

    kind: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{{{self.kind}:{self.argument}}}" if self.argument else f"{{{self.kind}}}"


Part: TypeAlias = str | Placeholder


def is_field_name(name: str) -> bool:
    """Whether a text may be the name of a header field."""
    return _FIELD_NAME.fullmatch(name) is not None


class _Argument(NamedTuple):
    """What a placeholder takes after its colon."""

    fits: Callable[[str], bool]
    names: str
    example: str


_POINTER = _Argument(is_pointer, "pointer", "/order/id")
_ARGUMENTS: Mapping[str, _Argument] = {
    "header": _Argument(is_field_name, "header", "X-Event"),
    "field": _POINTER,
    "optional_field": _POINTER,
    "url_with_digest": _Argument(is_field_name, "query parameter", "bodySHA256"),
}


def parse_template(template: str, *, field: str, known: Collection[str]) -> tuple[Part, ...]:
    """The template's parts in order, without empty literals.

    Args:
        template: the text.
        field: the name of the declaration's field, for errors.
        known: the kinds of placeholder that may stand there; some take an argument after a colon.

    Raises:
        SchemeError: a brace stands alone, or a placeholder is unknown.
    """
    pieces = _PLACEHOLDER.split(template)
    parts: list[Part] = []
    for index, piece in enumerate(pieces):
        if index % 2:
            parts.append(_placeholder(piece, field, known))
        elif "{" in piece or "}" in piece:
            raise SchemeError(f"{field} = {template!r}: a brace stands alone; write placeholders as {{timestamp}}")
        elif piece:
            parts.append(piece)
    return tuple(parts)


def _placeholder(text: str, field: str, known: Collection[str]) -> Placeholder:
    kind, colon, argument = text.partition(":")
    wanted = _ARGUMENTS.get(kind)
    if kind not in known or bool(colon) != (wanted is not None):
        spelled = sorted(f"{word}:{_ARGUMENTS[word].example}" if word in _ARGUMENTS else word for word in known)
        raise SchemeError(f"{field}: {unknown('placeholder', text, spelled)}")
    if wanted is not None and not wanted.fits(argument):
        raise SchemeError(f"{field}: {{{text}}} names no {wanted.names}; wanted such as {{{kind}:{wanted.example}}}")
    return Placeholder(kind, argument)
