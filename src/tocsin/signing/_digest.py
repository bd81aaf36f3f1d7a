"""Digests of the body that a message carries beside its signature, so that the signature covers the body. PURE.

Rule: what is carried is compared with the message's own digest; a signature over a digest that nobody compares covers
no body.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tocsin.signing._message import Message


class Digest(NamedTuple):
    """One way to spell a body's digest.

    Args:
        render: the spelling that signing writes.
        fits: whether a carried text is a spelling of the message's digest.
    """

    render: Callable[[Message], str]
    fits: Callable[[str, Message], bool]


# RFC 9530 section 5: the two that are "active"; the others are for legacy use and prove nothing.
_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}
_DIGESTS = re.compile(r"[a-z0-9-]+=:[A-Za-z0-9+/]*={0,2}:(?:, ?[a-z0-9-]+=:[A-Za-z0-9+/]*={0,2}:)*+")


def _rfc9530(message: Message) -> str:
    return f"sha-256=:{_base64(message.body, 'sha256')}:"


def _fits_rfc9530(text: str, message: Message) -> bool:
    """Whether at least one active algorithm is there, and every active one is right."""
    if not _DIGESTS.fullmatch(text):
        return False
    members = [member.strip().split("=", 1) for member in text.split(",")]
    known = [(_ALGORITHMS[name], carried) for name, carried in members if name in _ALGORITHMS]
    return bool(known) and all(carried == f":{_base64(message.body, name)}:" for name, carried in known)


def _hawk(message: Message) -> str:
    """The payload hash of Hawk: https://github.com/mozilla/hawk, "Payload Validation"."""
    # A content type that is not there or not there once is the empty one: whatever it is, the signature covers it.
    content_type = ",".join(message.values("Content-Type")).partition(";")[0].strip().lower()
    made = hashlib.sha256(b"hawk.1.payload\n%b\n" % content_type.encode("latin-1", "replace"))
    made.update(message.body)
    made.update(b"\n")
    return b64encode(made.digest()).decode("ascii")


def _base64(octets: bytes, hash_name: str) -> str:
    return b64encode(hashlib.new(hash_name, octets).digest()).decode("ascii")


DIGESTS: Mapping[str, Digest] = MappingProxyType(
    {
        "rfc9530": Digest(_rfc9530, _fits_rfc9530),
        "hawk": Digest(_hawk, lambda text, message: text == _hawk(message)),
    }
)
