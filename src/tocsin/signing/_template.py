"""Templates such as "t={timestamp},v1={signature}": literals and placeholders. PURE.

Rule: a brace always opens or closes a placeholder. There is no escape, because "{{timestamp}}" is how a plan spells a
variable, and signing the literal text "{timestamp}" instead would go unnoticed.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from tocsin.signing._errors import SchemeError
from tocsin.signing._nearest import unknown

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# RFC 9110 section 5.6.2: the characters of a field name.
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A part that is filled in.

    Args:
        kind: its name: "body", "timestamp", "header".
        argument: the field name, for the kind "header"; else "".
    """

    kind: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{{{self.kind}:{self.argument}}}" if self.argument else f"{{{self.kind}}}"


Part: TypeAlias = str | Placeholder


def is_field_name(name: str) -> bool:
    """Whether a text may be the name of a header field."""
    return _FIELD_NAME.fullmatch(name) is not None


def parse_template(template: str, *, field: str, known: Collection[str]) -> tuple[Part, ...]:
    """The template's parts in order, without empty literals.

    Args:
        template: the text.
        field: the name of the declaration's field, for errors.
        known: the kinds of placeholder that may stand there; "header" takes a field name after a colon.

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
    if kind not in known or bool(colon) != (kind == "header"):
        spelled = sorted("header:Name" if word == "header" else word for word in known)
        raise SchemeError(f"{field}: {unknown('placeholder', text, spelled)}")
    if colon and not is_field_name(argument):
        raise SchemeError(f"{field}: {{{text}}} names no header; wanted a field name such as {{header:X-Event}}")
    return Placeholder(kind, argument)
