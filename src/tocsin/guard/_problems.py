"""The guard's own answers, as problem details (RFC 9457). PURE.

Rule: an answer to somebody who has not proved who they are says nothing about why; every 401 is the same bytes. An
answer that a retry can change carries Retry-After.
"""

import json
from http import HTTPStatus

from tocsin.guard._answer import Answer
from tocsin.signing import Header
from tocsin.signing._reason import reason_phrase

# What is waited for takes milliseconds, and Retry-After has no smaller unit above zero.
_RETRY_AFTER: Header = ("Retry-After", "1")


def _problem(status: HTTPStatus, detail: str, *more: Header) -> Answer:
    document = {"type": "about:blank", "title": reason_phrase(status), "status": int(status), "detail": detail}
    headers = (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), *more)
    return Answer(int(status), headers, json.dumps(document).encode())


# RFC 9110 section 15.5.2: a 401 must name a challenge.
UNAUTHORIZED = _problem(HTTPStatus.UNAUTHORIZED, "The request is not validly signed.", ("WWW-Authenticate", "HMAC"))
MISMATCH = _problem(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The idempotency key was used before, for another request. Use a new one, or send the same request.",
)
IN_PROGRESS = _problem(
    HTTPStatus.CONFLICT, "A request with this idempotency key is in progress. Send it again later.", _RETRY_AFTER
)
CROWDED = _problem(
    HTTPStatus.CONFLICT, "Too many requests with this idempotency key are waiting. Send it again later.", _RETRY_AFTER
)
UNAVAILABLE = _problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The request cannot be applied at the moment, and nothing is known to have changed. Send it again later.",
    _RETRY_AFTER,
)
ANSWER_UNKNOWN = _problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "The request was applied, and its answer is not known. It is not applied again.",
)
BROKEN = _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The request could not be applied as a whole.")


# 200, because a 409 would have providers send it again for days, and some of them switch the webhook off then.
SUPERSEDED = Answer(
    int(HTTPStatus.OK),
    (("Content-Type", "application/json"), ("Cache-Control", "no-store")),
    json.dumps(
        {
            "status": "superseded",
            "detail": "A message as new as this one, or newer, was applied before. Nothing changed.",
        }
    ).encode(),
)


def content_too_large(most_bytes: int) -> Answer:
    """413: the body is longer than the guard hashes."""
    return _problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body may have {most_bytes} bytes at most.",
        ("Connection", "close"),
    )


def bad_request(detail: str) -> Answer:
    """400: verified, and without a usable idempotency key."""
    return _problem(HTTPStatus.BAD_REQUEST, f"{detail[:1].upper()}{detail[1:]}.")


# Where the client has gone nobody hears it; but what stands in between takes no answer at all for a defect.
CUT_OFF = bad_request("the request has not come to its end")


def answer_too_large(most_bytes: int) -> Answer:
    """500: nothing was applied, because duplicates could not be given the same answer."""
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"The answer is longer than max_answer_bytes = {most_bytes}, so the request was not applied.",
    )
