"""The view of a request that gets signed. PURE.

Rule: text is the latin-1 view of the octets on the wire, neither decoded nor normalised, so that signer and verifier
hash what was sent. A field that was sent twice is here twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tocsin.signing._errors import Duplicated, Missing

Header: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Message:
    """One request.

    Args:
        method: as sent: "POST".
        target: the origin-form request target exactly as on the wire, percent-encoding untouched: "/order?x=1".
        headers: name and value of every field line, in wire order.
        body: the raw body, after any transfer coding and before any content coding is undone.
        public_origin: "https://api.example.com", from configuration and never from the Host header; only for schemes
            whose `needs_public_origin` is true. Without it they raise SchemeError for every message.
    """

    method: str
    target: str
    headers: tuple[Header, ...]
    body: bytes
    public_origin: str = ""

    @property
    def path(self) -> str:
        """The target before its first "?", raw."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target after its first "?", raw; "" if there is none."""
        return self.target.partition("?")[2]

    def values(self, name: str) -> tuple[str, ...]:
        """The values of every field of that name, in wire order; names are compared without case."""
        wanted = name.lower()
        length = len(wanted)
        # Most names differ in length, and asking that first costs half as much.
        return tuple([value for given, value in self.headers if len(given) == length and given.lower() == wanted])


def values_by_name(message: Message) -> dict[str, list[str]]:
    """The values of every field under its name in lower case, in wire order.

    For the names that a sender lists: to look for each of many among many headers would take their product.
    """
    found: dict[str, list[str]] = {}
    for name, value in message.headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def once(message: Message, name: str) -> str:
    """The value of a header that has to be there exactly once.

    Raises:
        Missing, Duplicated: it is not.
    """
    return sole(message.values(name), name)


def sole(values: Sequence[str], name: str) -> str:
    """The value of a header that has to be there exactly once, of all that it has.

    Raises:
        Missing, Duplicated: it is not.
    """
    if len(values) == 1:
        return values[0]
    raise Duplicated(f"header {name}") if values else Missing(f"header {name}")
