"""A request as it was signed, from what Django has made of it.

Rule: the body is read once, here, and no more of it than the guard hashes; whoever asks the request for it later finds
the bytes that were verified.
"""

from io import BytesIO
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from tocsin.guard import _log, _problems
from tocsin.guard._answer import Answer
from tocsin.guard._guarded import Guarded
from tocsin.guard._store import Tx
from tocsin.guard._wsgi import BodyRefusedError, received_body
from tocsin.signing import Header, Message
from tocsin.signing.servers import asgi_headers, asgi_target, wsgi_headers, wsgi_target

_TAKEN = (
    "the body was read before the guard, and only its parts are left: by a middleware that uses request.POST on a "
    "form with files, or reads the request itself; wanted request.body, or that middleware after the view"
)


def message_of(request: HttpRequest, guarded: Guarded[Tx]) -> Message | Answer:
    """The request, to be verified; or what it is answered where its body cannot be had."""
    most_bytes = guarded.limits.max_body_bytes
    if settings.DATA_UPLOAD_MAX_MEMORY_SIZE is not None:
        most_bytes = min(most_bytes, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    try:
        body = _body(request, most_bytes)
    except BodyRefusedError as refused:
        return refused.answer or guarded.too_large(most_bytes)
    except Exception:  # noqa: BLE001  a server says in its own way that a body has no end; gunicorn's is no OSError
        return _problems.CUT_OFF
    target, headers = _head(request)
    return Message(request.method, target, headers, body, guarded.public_origin)


def _body(request: HttpRequest, most_bytes: int) -> bytes:
    """The whole body. Raises BodyRefusedError, or whatever the server's stream raises."""
    if hasattr(request, "_body"):
        # A middleware was first. Django has kept it.
        body: bytes = request.body
        if len(body) > most_bytes:
            raise BodyRefusedError
        return body
    if request._read_started:  # noqa: SLF001  nothing public says so without raising
        _log.store_notice("guard.django", _TAKEN)
        raise BodyRefusedError(_problems.UNAUTHORIZED)
    body = _spooled_body(request, most_bytes) if hasattr(request, "scope") else received_body(request.META, most_bytes)
    # As HttpRequest.body leaves them. It is not called itself because it takes a chunked body over WSGI for an empty
    # one, and any other up to the limit of the settings.
    request._read_started = True  # noqa: SLF001
    request._body = body  # noqa: SLF001
    request._stream = BytesIO(body)  # noqa: SLF001
    # Parsers take a request that does not say its length for an empty one.
    request.META["CONTENT_LENGTH"] = str(len(body))
    return body


def _spooled_body(request: HttpRequest, most_bytes: int) -> bytes:
    """Over ASGI Django has read the body to its end before any view, into a file."""
    body: bytes = request.read(most_bytes + 1)
    if len(body) > most_bytes:
        raise BodyRefusedError
    return body


def _head(request: HttpRequest) -> tuple[str, tuple[Header, ...]]:
    scope: dict[str, Any] | None = getattr(request, "scope", None)
    if scope is not None:
        return asgi_target(scope), asgi_headers(scope["headers"])
    environ = request.META
    if not (environ.get("RAW_URI") or environ.get("REQUEST_URI")):
        # Django has decoded them; in WSGI's own spelling each octet is a character.
        plain = {name: environ[name].encode().decode("latin-1") for name in ("SCRIPT_NAME", "PATH_INFO")}
        environ = {**environ, **plain}
    return wsgi_target(environ), wsgi_headers(environ)
