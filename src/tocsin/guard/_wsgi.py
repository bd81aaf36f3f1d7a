"""A request over WSGI as it was signed, and an application's answer, collected whole.

Rule: not one byte of the answer goes to the server before COMMIT. PEP 3333 lets an application begin its answer, write
to it, and change its mind by `start_response` with exc_info; all of that happens in here first.
"""

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from io import BytesIO
from typing import IO, TYPE_CHECKING

from tocsin.guard import _problems
from tocsin.guard._answer import NO_CONTENT, Answer
from tocsin.guard._errors import AnswerTooLarge, GuardError
from tocsin.signing import Header

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHUNK_BYTES = 64 * 1024
# By these an answer goes past what the application returns: a file that the server sends by itself, an early 103.
_PAST_THE_ANSWER = ("wsgi.file_wrapper", "wsgi.early_hints")
_NO_LENGTH = _problems.bad_request("the server does not say where the body ends; wanted a Content-Length")


class BodyRefusedError(Exception):
    """The body is not read, or not to its end.

    Args:
        answer: what to answer; None: it is longer than the guard hashes.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__(answer)
        self.answer = answer


def received_body(environ: "WSGIEnvironment", most_bytes: int) -> bytes:
    """The whole body, read once; at most one byte more than the cap.

    Raises:
        BodyRefusedError: it is longer than `most_bytes`, ends before its Content-Length, or has no end that is known.
    """
    stream: IO[bytes] = environ["wsgi.input"]
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared:
        return _of_length(stream, declared, most_bytes)
    if not environ.get("wsgi.input_terminated"):
        # Without it, reading on would wait for a next request that never comes.
        if environ.get("HTTP_TRANSFER_ENCODING"):
            raise BodyRefusedError(_NO_LENGTH)
        return b""
    body = b"".join(_parts(stream, most_bytes + 1))
    if len(body) > most_bytes:
        raise BodyRefusedError
    return body


def _of_length(stream: IO[bytes], declared: str, most_bytes: int) -> bytes:
    if not (declared.isascii() and declared.isdecimal()):
        raise BodyRefusedError(_problems.CUT_OFF)
    # More digits than any length has; int() refuses still longer texts by an error of its own.
    if len(declared) > len(str(1 << 63)) or int(declared) > most_bytes:
        raise BodyRefusedError
    body = b"".join(_parts(stream, int(declared)))
    if len(body) < int(declared):
        raise BodyRefusedError(_problems.CUT_OFF)
    return body


def _parts(stream: IO[bytes], most_bytes: int) -> Iterator[bytes]:
    while most_bytes > 0 and (part := stream.read(min(most_bytes, _CHUNK_BYTES))):
        most_bytes -= len(part)
        yield part


def environ_of_the_application(environ: "WSGIEnvironment", body: bytes) -> "WSGIEnvironment":
    """The server's environ, with the body that was verified, and without ways round the answer. New for each run."""
    inner = {name: value for name, value in environ.items() if name not in _PAST_THE_ANSWER}
    inner |= {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(body))}
    return inner


def begun(answer: Answer, start_response: "StartResponse") -> list[bytes]:
    """Begin a whole answer; what to give the server as its body."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    # PEP 3333: what concerns the connection is the server's own.
    headers = [field for field in answer.headers if field[0].lower() != "connection"]
    if answer.status not in NO_CONTENT:
        headers.append(("Content-Length", str(len(answer.body))))
    start_response(f"{answer.status} {phrase}", headers)
    return [answer.body]


class Collected:
    """One run of an application, its answer collected; to be closed in any case.

    Args:
        most_bytes: the longest body.

    Attributes:
        reported: the error of which the application has made its answer, by `start_response` with exc_info.
    """

    def __init__(self, most_bytes: int) -> None:
        self.reported: BaseException | None = None
        self._most_bytes = most_bytes
        self._started: tuple[str, list[Header]] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._failure: Exception | None = None
        self._close: Callable[[], object] | None = None

    def answer(self, app: "WSGIApplication", environ: "WSGIEnvironment") -> Answer:
        """Run the application to the end of its answer.

        Raises:
            AnswerTooLarge: the body is longer than `most_bytes`, also where the application has swallowed that.
            GuardError: it did not begin its answer as PEP 3333 wants it.
            BaseException: what it raised.
        """
        iterable: Iterable[bytes] = app(environ, self._start_response)
        self._close = getattr(iterable, "close", None)
        for part in iterable:
            # An empty part counts as one byte, or a stream of nothing would never end.
            self._add(part, len(part) or 1)
        if self._failure is not None:
            raise self._failure
        if self._started is None:
            raise GuardError("the application ended before it called start_response")
        status, headers = self._started
        return Answer(int(status[:3]), tuple(headers), b"".join(self._parts))

    def close(self) -> None:
        """Tell the application that its answer is done with (PEP 3333, close), once."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def _start_response(
        self,
        status: str,
        headers: list[Header],
        exc_info: "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None" = None,
        /,
    ) -> Callable[[bytes], object]:
        if exc_info is not None and exc_info[1] is not None:
            self.reported = exc_info[1]
            if any(self._parts):
                # PEP 3333: too late to change one's mind. A client would have half of the other answer.
                raise exc_info[1].with_traceback(exc_info[2])
            self._parts.clear()
        elif self._started is not None:
            raise self._failed(GuardError("start_response was called twice, the second time without exc_info"))
        self._started = (status, list(headers))
        return self._write

    def _write(self, part: bytes) -> None:
        self._add(part, len(part))

    def _add(self, part: bytes, counted: int) -> None:
        if self._started is None and part:
            raise self._failed(GuardError("the application answered before it called start_response"))
        self._size += counted
        if self._size > self._most_bytes:
            raise self._failed(AnswerTooLarge(self._most_bytes))
        self._parts.append(part)

    def _failed(self, error: Exception) -> Exception:
        self._failure = error
        return error
