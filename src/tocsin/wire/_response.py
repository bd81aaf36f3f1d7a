"""Bytes of an answer -> Response. PURE.

Rule: an answer is taken whole or not at all, and never more of it is kept than the cap.
"""

from dataclasses import dataclass, field
from typing import Final

import h11

from tocsin.wire._errors import Failure

# Ten times the largest answer of the lab's services; 100 members of a burst hold at most 100 MiB.
MAX_BODY_BYTES: Final = 1024 * 1024
# Four times h11's own default: single sign-on cookies make real heads that large.
MAX_HEAD_BYTES: Final = 64 * 1024
_HEAD_TOO_LARGE: Final = 431  # how h11 marks the error that the cap on a head causes


@dataclass(frozen=True, slots=True)
class Response:
    """A complete final answer.

    Args:
        status: 200 to 599.
        headers: in wire order and spelling; values are the latin-1 view of their octets. Not in `repr`, as an answer
            may echo what was sent.
        body: after any transfer coding, before any content coding. Not in `repr` either.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a header, whatever the case of its name."""
        wanted = name.lower()
        return tuple(value for given, value in self.headers if given.lower() == wanted)


class ResponseReader:
    """Reads the answer to one request, fed with whatever pieces arrive.

    Args:
        method: of the request: the answer to HEAD has no body.
        max_body_bytes: a longer body is Failure.TOO_LARGE.
    """

    def __init__(self, method: bytes, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        # h11 frames an answer by the request before it, and only by whether that was HEAD.
        asked = b"HEAD" if method == b"HEAD" else b"GET"
        self._connection.send(h11.Request(method=asked, target=b"/", headers=[(b"Host", b"-")]))
        self._connection.send(h11.EndOfMessage())
        self._max_body_bytes = max_body_bytes
        self._head: h11.Response | None = None
        self._body = bytearray()

    @property
    def status(self) -> int | None:
        """Of the final answer, as soon as its head is there."""
        return None if self._head is None else self._head.status_code

    def receive(self, data: bytes) -> Response | Failure | None:
        """Take the next piece, b"" for the end of the connection. None: the answer goes on.

        Must not be called again once it has returned something else.
        """
        try:
            self._connection.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            if not data:
                return Failure.CLOSED  # in the middle of an answer that was good so far
            return Failure.TOO_LARGE if error.error_status_hint == _HEAD_TOO_LARGE else Failure.NOT_HTTP

    def _read(self) -> Response | Failure | None:
        while True:
            match self._connection.next_event():
                case h11.Response() as head:
                    self._head = head
                case h11.Data() as piece:
                    self._body += piece.data
                    if len(self._body) > self._max_body_bytes:
                        return Failure.TOO_LARGE
                case h11.EndOfMessage():
                    return self._whole()
                case h11.InformationalResponse():
                    continue  # 100 Continue and 103 Early Hints announce an answer, they are not one
                case _:
                    return None

    def _whole(self) -> Response:
        assert self._head is not None  # h11 gives EndOfMessage after Response only
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self._head.headers.raw_items()
        )
        return Response(self._head.status_code, headers, bytes(self._body))
