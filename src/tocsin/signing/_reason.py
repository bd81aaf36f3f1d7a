"""How the statuses that are answered here are called in RFC 9110. PURE.

Rule: an answer is the same bytes on every Python; those before 3.13 have older names for two of them.
"""

from http import HTTPStatus

_NAMED_ANEW = {413: "Content Too Large", 422: "Unprocessable Content"}


def reason_phrase(status: int) -> str:
    """A status's name, as in its section of RFC 9110: "Unauthorized"."""
    return _NAMED_ANEW.get(status) or HTTPStatus(status).phrase
