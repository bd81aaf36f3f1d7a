"""HTTP/1.1: request -> (prefix, withheld). PURE.

Rule: no prefix lets a server finish a request, and what is withheld lets every server finish it.
"""

from dataclasses import dataclass, field

import h11

from tocsin.wire._errors import RequestError


@dataclass(frozen=True, slots=True)
class Split:
    """What is sent early and what is held back. Not in `repr`: a request holds a live signature.

    Args:
        prefix: what is sent early.
        withheld: what completes the request.
        wake: of what comes between, what is sent when the gate opens, ahead of all that completes requests.
    """

    prefix: bytes = field(repr=False)
    withheld: bytes = field(repr=False)
    wake: bytes = field(default=b"", repr=False)


def last_byte(request: bytes) -> Split:
    """Hold back exactly one byte: the body's last, or the line feed that ends the head where there is no body.

    Raises:
        RequestError: the bytes are not exactly one HTTP/1.1 request, or are one that a server may act on before its
            last byte: a body longer than Content-Length, or a chunked one, which is whole at its last chunk for
            servers that do not wait for the final line end (RFC 9112 section 7.1).
    """
    split = Split(request[:-1], request[-1:])
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=len(request) + 1)
    try:
        if _finishes(server, split.prefix):
            raise RequestError("the request is complete before its last byte, so holding that back would hold nothing")
        if not _finishes(server, split.withheld):
            raise RequestError("the request is not complete with its last byte; is the body shorter than its length?")
    except h11.RemoteProtocolError:
        raise RequestError("the request is not HTTP/1.1 as a strict server reads it, so no burst can hold it") from None
    return split


def waking(split: Split) -> Split:
    """The same, with one byte more held back, that wakes the server.

    A send that wakes a sleeping server takes ten times as long as one to a server that is awake (70 us and 7 us on a
    virtual machine). With this byte the first of a burst costs that, and no request is complete before the others.
    """
    return Split(split.prefix[:-1], split.withheld, split.prefix[-1:])


def whole(request: bytes) -> Split:
    """Hold back all of it. Raises RequestError as `last_byte` does."""
    last_byte(request)
    return Split(b"", request)


def _finishes(server: h11.Connection, data: bytes) -> bool:
    """Whether a server has the whole request once it has these bytes too."""
    if data:  # to h11 no bytes are the end of the connection
        server.receive_data(data)
    while True:
        match server.next_event():
            case h11.Request() as head if b"transfer-encoding" in dict(head.headers):
                raise RequestError("the request is chunked; a burst needs Content-Length")
            case h11.EndOfMessage():
                return True
            case h11.Request() | h11.Data():
                continue
            case _:
                return False
