"""The parts of a request that can be signed, and their octets. PURE.

Rule: a component's octets are those on the wire. Text that holds a line break or NUL is refused: no request on a wire
can hold it there, and a content that separates by line breaks is then unambiguous.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from tocsin.signing._errors import Malformed, Missing, SchemeError
from tocsin.signing._message import Message
from tocsin.signing._message_id import Delimiters
from tocsin.signing._template import Placeholder, parse_template


class Parameters(NamedTuple):
    """What goes into a signature besides the message, as text on the wire; None where the scheme has none."""

    timestamp: str | None = None
    nonce: str | None = None
    key_id: str | None = None


# A nonce is a random text: 255 visible characters are room for every known form.
MAX_NONCE_CHARACTERS = 255
NONCE_WANTED = f"1 to {MAX_NONCE_CHARACTERS} visible ASCII characters"

Reader: TypeAlias = Callable[[Message, Parameters, str], bytes]


def is_nonce(text: str) -> bool:
    """Whether a text may be a nonce."""
    return 1 <= len(text) <= MAX_NONCE_CHARACTERS and all("!" <= character <= "~" for character in text)


def wire_octets(text: str | None, part: str) -> bytes:
    """The octets of a text that is the latin-1 view of them.

    Raises:
        Missing: there is no text.
        Malformed: it holds a character that is no octet, a line break or NUL.
    """
    if text is None:
        raise Missing(part)
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        raise Malformed(part, "holds a character that is no octet of a request") from None
    if b"\n" in octets or b"\r" in octets or b"\0" in octets:
        raise Malformed(part, "holds a line break or NUL")
    return octets


def _url(message: Message, _parameters: Parameters, _argument: str) -> bytes:
    if not message.public_origin:
        raise Missing("the public origin of this service in its configuration")
    return wire_octets(message.public_origin + message.target, "the URL")


def _header(message: Message, _parameters: Parameters, name: str) -> bytes:
    # RFC 9110 section 5.3: fields of one name mean their values joined. Whether the field had to be there, and once,
    # is judged after the signature.
    return wire_octets(", ".join(message.values(name)), f"header {name}")


COMPONENTS: Mapping[str, Reader] = MappingProxyType(
    {
        "method": lambda message, _parameters, _argument: wire_octets(message.method, "the method"),
        "path": lambda message, _parameters, _argument: wire_octets(message.path, "the path"),
        "query": lambda message, _parameters, _argument: wire_octets(message.query, "the query"),
        "url": _url,
        "timestamp": lambda _message, parameters, _argument: wire_octets(parameters.timestamp, "the timestamp"),
        "nonce": lambda _message, parameters, _argument: wire_octets(parameters.nonce, "the nonce"),
        "key_id": lambda _message, parameters, _argument: wire_octets(parameters.key_id, "the key id"),
        "body": lambda message, _parameters, _argument: message.body,
        "body_sha256": lambda message, _parameters, _argument: hashlib.sha256(message.body).hexdigest().encode("ascii"),
        "header": _header,
    }
)
# A component that is covered when another one is: changing the path changes the URL.
_COVERED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"body": ("body", "body_sha256"), "path": ("path", "url"), "query": ("query", "url")}
)


@dataclass(frozen=True, slots=True)
class Content:
    """A compiled content template. Build it with `Content.compile`."""

    parts: tuple[bytes | tuple[Reader, str], ...]
    literals: tuple[str, ...]
    components: tuple[str, ...]

    @classmethod
    def compile(cls, template: str) -> "Content":
        """Check the template and take it apart.

        Raises:
            SchemeError: it has an unknown placeholder, none at all, or text that is not Unicode.
        """
        parts: list[bytes | tuple[Reader, str]] = []
        literals = [""]
        components: list[str] = []
        for part in parse_template(template, field="content", known=COMPONENTS):
            if isinstance(part, Placeholder):
                parts.append((COMPONENTS[part.kind], part.argument))
                components.append(f"{part.kind}:{part.argument}" if part.argument else part.kind)
                literals.append("")
            else:
                parts.append(_literal_octets(part))
                literals[-1] = part
        if not components:
            raise SchemeError(f"content = {template!r} signs nothing; wanted a placeholder such as {{body}}")
        if len({name.lower() for name in components}) != len(components):
            raise SchemeError(f"content = {template!r} signs a component twice; wanted each once")
        return cls(tuple(parts), tuple(literals), tuple(components))

    @property
    def headers(self) -> tuple[str, ...]:
        """The names of the signed headers, in order."""
        return tuple(name.removeprefix("header:") for name in self.components if name.startswith("header:"))

    def octets(self, message: Message, parameters: Parameters) -> tuple[bytes, ...]:
        """The signed octets in pieces, the body among them as it is: nothing of a body's size is copied.

        Raises:
            Missing: a parameter or the public origin is not there.
            Malformed: a component is no text of a request.
        """
        return tuple(
            [part if isinstance(part, bytes) else part[0](message, parameters, part[1]) for part in self.parts]
        )

    def covers(self, component: str) -> bool:
        """Whether changing a component changes the octets."""
        return any(self._index(name) is not None for name in _COVERED_BY.get(component, (component,)))

    def delimiters(self, component: str) -> Delimiters:
        """The literals before and after a component, "" where there is none."""
        index = self._index(component)
        return ("", "") if index is None else (self.literals[index], self.literals[index + 1])

    def is_separated(self, component: str) -> bool:
        """Whether a literal, or an end of the content, stands on both sides of a covered component."""
        index = self._index(component)
        before, after = self.delimiters(component)
        return (before != "" or index == 0) and (after != "" or index == len(self.components) - 1)

    def _index(self, component: str) -> int | None:
        names = [name.lower() for name in self.components]
        return names.index(component.lower()) if component.lower() in names else None


def _literal_octets(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise SchemeError(f"content literal {text!r}: holds a lone surrogate, which is no text") from None
