"""WSGI: lets through what is validly signed, and answers the rest itself.

    application = SignedOnly(application, scheme=PRESETS["github"], keys=KeyRing.of(Secret.from_env("HOOK_SECRET")))

The application finds a `Verified` at environ["tocsin.verified"], and in wsgi.input the octets that were verified.
WSGI servers join fields of one name with commas, so a header that was given twice is judged as its joined value.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING

from tocsin.signing import KeyRing, Message, Scheme
from tocsin.signing.servers._admission import MIB, VERIFIED, Admission, NotAdmitted, Reception
from tocsin.signing.servers._heads import wsgi_headers, wsgi_target
from tocsin.signing.servers._problems import INCOMPLETE, LENGTH_REQUIRED, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHUNK_BYTES = 64 * 1024


class SignedOnly:
    """A WSGI application around another: only verified requests reach it. Arguments and errors as for `Admission`."""

    def __init__(
        self,
        app: "WSGIApplication",
        *,
        scheme: Scheme,
        keys: KeyRing | Callable[[], KeyRing],
        max_body_bytes: int = MIB,
        public_origin: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._admission = Admission(
            scheme, keys, max_body_bytes=max_body_bytes, public_origin=public_origin, clock=clock
        )

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Verify, and call the application."""
        headers = wsgi_headers(environ)
        head = Message(environ["REQUEST_METHOD"], wsgi_target(environ), headers, b"", self._admission.public_origin)
        reception = Reception(head, self._admission)
        try:
            self._admission.check_length(head.values("Content-Length"))
            for chunk in _chunks(environ, self._admission.max_body_bytes):
                reception.add(chunk)
            environ[VERIFIED] = reception.finish()
        except NotAdmitted as refused:
            reception.close()
            return _answer(refused.problem, start_response)
        except BaseException:
            reception.close()
            raise
        environ["wsgi.input"] = reception.file
        # Also for a body that came in chunks: it is complete, and its end is known.
        environ["CONTENT_LENGTH"] = str(reception.length)
        environ["wsgi.input_terminated"] = True
        return _Closing(self._app(environ, start_response), reception)


class _Closing:
    """An answer that lets go of the request's body when the server is done with it (PEP 3333, close)."""

    def __init__(self, answer: Iterable[bytes], reception: Reception) -> None:
        self._answer = answer
        self._reception = reception

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()
        finally:
            self._reception.close()


def _chunks(environ: "WSGIEnvironment", most_bytes: int) -> Iterator[bytes]:
    """The body; at most one octet more than the cap is read.

    Raises:
        NotAdmitted: 400 if it ends early; 411 if the server hands a chunked body on as it is.
    """
    stream: IO[bytes] = environ["wsgi.input"]
    declared = environ.get("CONTENT_LENGTH", "")
    if not declared:
        if environ.get("wsgi.input_terminated"):
            yield from _read(stream, most_bytes + 1)
        elif environ.get("HTTP_TRANSFER_ENCODING"):
            raise NotAdmitted(LENGTH_REQUIRED)
        return
    if not (declared.isascii() and declared.isdecimal()):
        raise NotAdmitted(INCOMPLETE)
    missing = int(declared)
    for chunk in _read(stream, missing):
        missing -= len(chunk)
        yield chunk
    if missing:
        raise NotAdmitted(INCOMPLETE)


def _read(stream: IO[bytes], most_bytes: int) -> Iterator[bytes]:
    while most_bytes > 0 and (chunk := stream.read(min(most_bytes, _CHUNK_BYTES))):
        most_bytes -= len(chunk)
        yield chunk


def _answer(problem: Problem, start_response: "StartResponse") -> Iterable[bytes]:
    # PEP 3333 forbids hop-by-hop headers; servers decide themselves what happens to the connection.
    headers = [(name, value) for name, value in problem.headers if name != "Connection"]
    start_response(f"{problem.status} {problem.phrase}", [*headers, ("Content-Length", str(len(problem.body)))])
    return [problem.body]
