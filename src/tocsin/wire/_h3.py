"""How much of a burst one HTTP/3 connection carries. PURE.

Rule: what a connection releases leaves at once, so it has to fit into the congestion window of a new connection.
"""

from collections.abc import Sequence
from typing import Final

from tocsin.wire._errors import RequestError
from tocsin.wire._h2 import Parts
from tocsin.wire._styles import Style

# Ten datagrams (RFC 9002 section 7.2) of the 1200 bytes that every network carries (RFC 9000 section 14), without their
# heads and tags.
FLIGHT_BYTES: Final = 11_000
# The heads of a STREAM frame and of a DATA frame, at most (RFC 9000 section 19.8, RFC 9114 section 7.2.1).
_FRAMED_BYTES: Final = 24
# A field without Huffman coding or a table: two lengths (RFC 9204 section 4.5.6).
_FIELD_BYTES: Final = 4
_INSTALL: Final = "HTTP/3 needs aioquic, and it is not installed: pip install 'tocsin[http3]'"


def head_bytes(request: Parts) -> int:
    """How long the head of a request gets, estimated from above."""
    return _FIELD_BYTES + sum(len(name) + len(value) + _FIELD_BYTES for name, value in request.fields)


def flight_shares(requests: Sequence[Parts], style: Style, most: int) -> list[range]:
    """Which members go on which connection, with at most so many on each; none at all if one alone is too long."""
    found: list[range] = []
    start, room = 0, FLIGHT_BYTES
    for place, request in enumerate(requests):
        size = _FRAMED_BYTES + (head_bytes(request) + len(request.body) if style == "whole" else 0)
        if size > FLIGHT_BYTES:
            return []
        if size > room or place - start == most:
            found.append(range(start, place))
            start, room = place, FLIGHT_BYTES
        room -= size
    return [*found, range(start, len(requests))]


def missing() -> RequestError:
    """What to raise where aioquic is not installed."""
    return RequestError(_INSTALL)
