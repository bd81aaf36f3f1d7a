"""Where a signature and its parameters stand in a message: in headers, in one header's value, in the body. PURE.

Rule: everything that is read has to be there exactly once. A carrier reads and writes; whether a signature is right is
none of its business.
"""

from collections.abc import Mapping
from typing import Protocol

from tocsin.signing._body_fields import field_text, parse_body
from tocsin.signing._components import Parameters
from tocsin.signing._errors import Malformed
from tocsin.signing._layout import Layout, Presented
from tocsin.signing._message import Header, Message, once
from tocsin.signing._pointer import JsonPointer
from tocsin.signing._sigv4 import list_headers


class Carrier(Protocol):
    """Reads and writes signatures.

    `parameters` are the kinds that a message carries beside the signature.
    """

    @property
    def parameters(self) -> frozenset[str]: ...

    def read(self, message: Message) -> tuple[Presented, ...]:
        """What a message presents, at least one.

        Raises:
            Rejected: it presents none.
        """

    def headers(self, signature: str, texts: dict[str, str]) -> tuple[Header, ...]:
        """The headers that carry a signature and the texts of its parameters."""

    def list_covered(self, message: Message, parameters: Parameters) -> str | None:
        """What signing covers, as the sender lists it; None where it lists nothing."""


class HeaderCarrier:
    """A signature in a header, by itself or with parameters; other parameters in headers of their own, or in the body.

    Args:
        header: the header that carries the signature.
        layout: that header's value.
        written: kind and name of the headers of their own.
        read: those of them that `verify` reads.
        pointers: kind and place of the parameters in the body.
        body_format: how they are read.
        wanted: what has to be among the covered headers, where the sender chooses them.
    """

    def __init__(
        self,
        header: str,
        layout: Layout,
        *,
        written: tuple[tuple[str, str], ...],
        read: tuple[tuple[str, str], ...],
        pointers: Mapping[str, JsonPointer],
        body_format: str,
        wanted: tuple[str, ...],
    ) -> None:
        self._header = header
        self._layout = layout
        self._written = written
        self._read = read
        self._pointers = pointers
        self._body_format = body_format
        self._wanted = frozenset(wanted)
        self.parameters = layout.parameters | {kind for kind, _name in written} | pointers.keys()

    def read(self, message: Message) -> tuple[Presented, ...]:
        """See Carrier."""
        presented = self._layout.read(once(message, self._header))
        for kind, name in self._read:
            presented.parameters[kind] = once(message, name)
        if self._pointers:
            presented.parameters.update(_body_texts(message, self._pointers, self._body_format))
        if self._wanted and not self._wanted <= {*presented.parameters["covered"].split(";")}:
            raise Malformed(f"header {self._header}", f"does not cover {', '.join(sorted(self._wanted))}")
        return (presented,)

    def headers(self, signature: str, texts: dict[str, str]) -> tuple[Header, ...]:
        """See Carrier."""
        own = [(name, texts[kind]) for kind, name in self._written]
        return (*own, (self._header, self._layout.render(signature, texts)))

    def list_covered(self, message: Message, _parameters: Parameters) -> str | None:
        """See Carrier."""
        return list_headers(message, tuple(self._wanted)) if "covered" in self.parameters else None


class BodyCarrier:
    """A signature in the body, and its parameters beside it.

    Args:
        signature: its place.
        pointers: kind and place of its parameters.
        body_format: how the body is read.
    """

    def __init__(self, signature: JsonPointer, pointers: Mapping[str, JsonPointer], body_format: str) -> None:
        self._places = {"signature": signature, **pointers}
        self._body_format = body_format
        self.parameters = frozenset(pointers)

    def read(self, message: Message) -> tuple[Presented, ...]:
        """See Carrier."""
        texts = _body_texts(message, self._places, self._body_format)
        signature = texts.pop("signature")
        return (Presented((signature,) if signature.isascii() else (), texts),)

    def headers(self, _signature: str, _texts: dict[str, str]) -> tuple[Header, ...]:
        """None: see `signed_message`."""
        return ()

    def list_covered(self, _message: Message, _parameters: Parameters) -> str | None:
        """None: nothing is listed in a body."""
        return None


def _body_texts(message: Message, places: Mapping[str, JsonPointer], body_format: str) -> dict[str, str]:
    document = parse_body(message.body, body_format)
    return {kind: field_text(document, pointer) for kind, pointer in places.items()}
