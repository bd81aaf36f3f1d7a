"""What a request that is not let through is answered with, as problem details (RFC 9457). PURE.

Rule: every 401 is the same bytes. What was wrong with a signature is for the log, not for whoever sent it.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus

from tocsin.signing import Header
from tocsin.signing._reason import reason_phrase


@dataclass(frozen=True, slots=True)
class Problem:
    """A whole answer.

    Args:
        status: 401.
        headers: all but Content-Length.
        body: the problem document.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes

    @property
    def phrase(self) -> str:
        """The status's name: "Unauthorized"."""
        return reason_phrase(self.status)


def _problem(status: HTTPStatus, detail: str, *more: Header) -> Problem:
    document = {"type": "about:blank", "title": reason_phrase(status), "status": int(status), "detail": detail}
    headers = (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), *more)
    return Problem(int(status), headers, json.dumps(document).encode("ascii"))


# The rest of such a body is still on its way, and is not read.
_CLOSE: Header = ("Connection", "close")
# RFC 9110 section 15.5.2: a 401 must name a challenge.
UNAUTHORIZED = _problem(HTTPStatus.UNAUTHORIZED, "The request is not validly signed.", ("WWW-Authenticate", "HMAC"))
INCOMPLETE = _problem(HTTPStatus.BAD_REQUEST, "The body is not as long as Content-Length says.", _CLOSE)
LENGTH_REQUIRED = _problem(HTTPStatus.LENGTH_REQUIRED, "This server takes bodies with a Content-Length.", _CLOSE)


def content_too_large(most_bytes: int) -> Problem:
    """413: the body is longer than is hashed."""
    detail = f"The body may have {most_bytes} bytes at most."
    return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, _CLOSE)
