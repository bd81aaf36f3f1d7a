"""How the members of a burst are held back and let go. PURE.

Rule: closest arrival is not most overlap, and which style overlaps most is the server's doing, so none is ever trusted
alone. The names say what is held back until the gate opens.
"""

from typing import Final, Literal, TypeAlias

from tocsin.wire._address import Address
from tocsin.wire._errors import RequestError

Style: TypeAlias = Literal["last-byte", "threads", "last-frame", "empty-end", "whole", "record"]

_HTTP_1: Final[tuple[Style, ...]] = (
    "last-byte",  # the last byte of each request, released by one loop
    "threads",  # the same byte, each released by a fresh thread
    "whole",  # the whole request: connections stand idle until then
)
_HTTP_2: Final[tuple[Style, ...]] = (
    "last-frame",  # the last byte of each body, in a DATA frame that ends the stream; all of them in one write
    "empty-end",  # only the empty DATA frame that ends the stream; ask one member first whether the server waits for it
    "whole",  # every frame, all in one write
)
# The same: the STREAM frames that end the requests share a datagram, as far as they fit into one.
_HTTP_3: Final[tuple[Style, ...]] = _HTTP_2
# One byte of ciphertext: what a TLS record holds cannot be read before the record is whole (RFC 8446 section 5.2).
_TLS: Final[tuple[Style, ...]] = ("record",)


def styles_of(address: Address) -> tuple[Style, ...]:
    """The styles that can be used, the usual one first.

    Args:
        address: with the protocol that is spoken; "auto" stands for HTTP/1.1, as there.
    """
    if address.protocol == "h3":
        return _HTTP_3  # QUIC encrypts each datagram by itself
    over_tls = _TLS if address.url_scheme == "https" else ()
    return (_HTTP_2 if address.protocol in {"h2", "h2c"} else _HTTP_1) + over_tls


def checked_style(style: Style | None, address: Address) -> Style:
    """The style that was asked for, or the usual one. Raises RequestError where the address has no such style."""
    available = styles_of(address)
    if style is None:
        return available[0]
    if style not in available:
        spoken = address.protocol if address.url_scheme == "http" else f"{address.protocol} over TLS"
        raise RequestError(f"the style {style!r} does not go with {spoken}; wanted one of {', '.join(available)}")
    return style
