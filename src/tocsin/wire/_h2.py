"""A request in HTTP/1.1 bytes -> what HTTP/2 sends of it. PURE.

Rule: what the caller signed arrives unchanged; only what HTTP/2 says in another way is said so (RFC 9113 section 8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import h11
from hpack import Encoder, HeaderTuple, NeverIndexedHeaderTuple

from tocsin.wire._errors import RequestError

# The most that a TLS record may hold (RFC 8446 section 5.1). OpenSSL cuts what is longer into several.
RECORD_BYTES: Final = 16_384
_FRAME_HEAD: Final = 9
_FRAME_BYTES: Final = 16_384
# RFC 9113 section 8.2.2: these belong to a connection of HTTP/1.1.
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)


@dataclass(frozen=True, slots=True)
class Parts:
    """A request taken apart. Not in `repr`: it holds a live signature.

    Args:
        method: the method.
        fields: all header fields, the pseudo-header fields first.
        body: the content.
    """

    method: bytes
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)


def parts_of(request: bytes, url_scheme: str) -> Parts:
    """Take a request apart.

    Args:
        request: as `request_bytes` builds it.
        url_scheme: "http" or "https", for :scheme.

    Raises:
        RequestError: the bytes are not exactly one HTTP/1.1 request, or its framing is one that HTTP/2 does not have.
    """
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=len(request) + 1)
    try:
        if request:  # to h11 no bytes are the end of the connection
            server.receive_data(request)
        head, body = _read(server)
    except h11.RemoteProtocolError:
        raise RequestError("the request is not HTTP/1.1 as a strict server reads it, so no burst can hold it") from None
    if head is None:
        raise RequestError("the request is not complete; is the body shorter than its length?")
    if server.trailing_data[0]:
        raise RequestError("the request is complete before its last byte; is the body longer than its length?")
    given = dict(head.headers)
    if b"transfer-encoding" in given:
        raise RequestError("the request is chunked; a burst needs Content-Length")
    pseudo = (
        (b":method", head.method),
        (b":scheme", url_scheme.encode()),
        (b":authority", given[b"host"]),  # h11 has made sure of it
        (b":path", head.target),
    )
    plain = tuple((name, value) for name, value in head.headers if name not in {b"host", *_OF_THE_CONNECTION})
    return Parts(head.method, pseudo + plain, body)


def _read(server: h11.Connection) -> tuple[h11.Request | None, bytes]:
    """Head and body; no head where the request is not complete."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        match server.next_event():
            case h11.Request() as head:
                continue
            case h11.Data() as piece:
                body += piece.data
            case h11.EndOfMessage():
                return head, bytes(body)
            case _:
                return None, b""


def header_blocks(requests: Sequence[Parts]) -> list[list[HeaderTuple]]:
    """The header fields of each, marked so that they get small.

    What the first request has goes into the table of the peer (RFC 7541 section 2.3.2), and what others have in common
    with it costs a byte or two. What differs, nonces and signatures, is never indexed: it would push the rest out.
    """
    if not requests:
        return []
    common = set(requests[0].fields)
    return [
        [
            HeaderTuple(name, value) if (name, value) in common else NeverIndexedHeaderTuple(name, value)
            for name, value in request.fields
        ]
        for request in requests
    ]


def shares(n: int, limit: int, nodes: int = 1) -> list[range]:
    """Which members go on which connection, where a server allows `limit` streams on each.

    As few connections as will do, one for each node if there are members enough, as evenly filled as they can be.
    """
    connections = max(-(-n // limit), min(n, nodes))
    bounds = [place * n // connections for place in range(connections + 1)]
    return [range(start, end) for start, end in pairwise(bounds)]


def record_shares(requests: Sequence[Parts], limit: int) -> list[range]:
    """The same where all frames of a connection have to fit into one TLS record; none at all if one alone does not."""
    found: list[range] = []
    start = 0
    while start < len(requests):
        encoder, room, end = Encoder(), RECORD_BYTES, start
        blocks = header_blocks(requests[start : start + limit])
        for request, block in zip(requests[start:], blocks, strict=False):
            room -= _framed(len(encoder.encode(block))) + _framed(len(request.body))
            if room < 0:
                break
            end += 1
        if end == start:
            return []
        found.append(range(start, end))
        start = end
    return found


def _framed(length: int) -> int:
    """Bytes with the heads of frames of the smallest size that a server may ask for (RFC 9113 section 4.2)."""
    return length + _FRAME_HEAD * max(-(-length // _FRAME_BYTES), 1)
