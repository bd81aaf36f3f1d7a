"""What goes in and out of an ASGI application: the body of a request, the events of an answer."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from tocsin.guard._answer import NO_CONTENT, Answer
from tocsin.guard._errors import AnswerTooLarge, GuardError
from tocsin.signing.servers import asgi_headers

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]


class BodyTooLargeError(Exception):
    """The body is longer than the guard hashes; no more of it is read.

    Args:
        most_bytes: the limit.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__(most_bytes)
        self.most_bytes = most_bytes


async def received_body(headers: RawHeaders, receive: Receive, most_bytes: int) -> bytes | None:
    """The whole body; None if the client has gone before its end.

    Raises:
        BodyTooLargeError: by its Content-Length, or by what has come of it.
    """
    for name, value in headers:
        # More digits than any length has; int() refuses still longer texts by an error of its own.
        if name == b"content-length" and (len(value) > len(str(1 << 63)) or _length(value) > most_bytes):
            raise BodyTooLargeError(most_bytes)
    # Not a list of parts: whoever sends it chooses how many there are, and an empty one has no length that is counted.
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        part: bytes = event.get("body", b"")
        if len(body) + len(part) > most_bytes:
            raise BodyTooLargeError(most_bytes)
        if not event.get("more_body", False):
            # Nearly every body comes in one event, and is not copied.
            return bytes(body + part) if body else part
        body += part


def _length(value: bytes) -> int:
    return int(value) if value.isdigit() else 0


async def send_answer(answer: Answer, scope: Scope, send: Send) -> None:
    """Send a whole answer. A client that has gone is nobody's fault, and it is not told again."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    if scope.get("http_version", "1.1")[0] != "1":
        # RFC 9113 section 8.2.2: HTTP/2 has no Connection header.
        headers = [field for field in headers if field[0] != b"connection"]
    if answer.status not in NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    # Not contextlib.suppress, which costs as much as what it is around.
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
    except OSError:
        pass


class Collected:
    """What an application has sent of its answer.

    Args:
        most_bytes: the longest body.

    Attributes:
        failure: why there is no answer.
    """

    __slots__ = ("_headers", "_most_bytes", "_parts", "_size", "_status", "failure")

    def __init__(self, most_bytes: int) -> None:
        self.failure: Exception | None = None
        self._most_bytes = most_bytes
        self._status: int | None = None
        self._headers: RawHeaders = ()
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, event: Event) -> bool:
        """Take an event; whether it is the last one.

        Raises:
            AnswerTooLarge: the body is longer than `most_bytes`. An empty part counts as one byte, or a stream of
                nothing would never end.
            GuardError: it is not an event of an answer that can be stored.
        """
        kind = event["type"]
        if kind == "http.response.body" and self._status is not None:
            part: bytes = event.get("body", b"")
            has_more: bool = event.get("more_body", False)
            self._size += len(part) or has_more
            if self._size > self._most_bytes:
                self.failure = AnswerTooLarge(self._most_bytes)
                raise self.failure
            self._parts.append(part)
            return not has_more
        if kind != "http.response.start" or self._status is not None or event.get("trailers", False):
            self.failure = GuardError(f"the application sent {kind}, of which no duplicate could be given the same")
            raise self.failure
        self._status = event["status"]
        self._headers = event.get("headers", ())
        return False

    def answer(self) -> Answer:
        """The whole answer."""
        assert self._status is not None, "a body follows a start"
        return Answer(self._status, asgi_headers(self._headers), b"".join(self._parts))
