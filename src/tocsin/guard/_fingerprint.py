"""Whether two requests under one idempotency key are the same request. PURE.

Rule: the raw request is compared, never a parsed one: re-serialised JSON has one fingerprint for two documents with
duplicate members, and a path without its query one for two amounts.
"""

import hashlib
from enum import StrEnum
from functools import lru_cache

from tocsin.guard._keys import length_prefixed
from tocsin.signing import Message

_REQUEST = b"R"
_BODY = b"B"


class Fingerprint(StrEnum):
    """What is compared when a key is seen again."""

    REQUEST = "request"
    """Method, path, query and raw body."""

    BODY = "body"
    """The raw body alone."""

    NONE = "none"
    """Nothing: the key alone decides. For message ids whose provider changes incidental fields between attempts."""


def fingerprint(message: Message, compared: Fingerprint) -> bytes | None:
    """A byte for what is compared and SHA-256 over it, or None if nothing is compared."""
    if compared is Fingerprint.NONE:
        return None
    if compared is Fingerprint.BODY:
        return _BODY + hashlib.sha256(message.body).digest()
    body = message.body
    line = _request_line(message.method, message.target)
    return _REQUEST + hashlib.sha256(line + len(body).to_bytes(4, "big") + body).digest()


# Most requests of an operation have one and the same target.
@lru_cache(maxsize=256)
def _request_line(method: str, target: str) -> bytes:
    path, _, query = target.partition("?")
    return length_prefixed(method.encode("latin-1"), path.encode("latin-1"), query.encode("latin-1"))


def comparable(stored: bytes | None, given: bytes | None) -> bool:
    """Whether the two say anything about each other: neither is None, and both cover the same parts.

    They do not where the service has changed what it compares since the claim was stored; the key alone decides then.
    """
    return stored is not None and given is not None and stored[:1] == given[:1]
