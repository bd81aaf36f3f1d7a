"""How a signature's octets are spelled in a header. PURE.

Rule: every encoding has exactly one spelling of the same octets, and only that one verifies: hex in the declared case,
base64 in the declared alphabet with the declared padding. A second accepted spelling would be a second key for whoever
remembers raw headers.
"""

from base64 import urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from types import MappingProxyType


def _upper_hex(octets: bytes) -> str:
    return octets.hex().upper()


def _base64(octets: bytes) -> str:
    return b2a_base64(octets, newline=False).decode()


def _base64url(octets: bytes) -> str:
    return _base64url_padded(octets).rstrip("=")


def _base64url_padded(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode()


ENCODINGS: Mapping[str, Callable[[bytes], str]] = MappingProxyType(
    {
        "hex": bytes.hex,
        "HEX": _upper_hex,
        "base64": _base64,
        "base64url": _base64url,
        "base64url=": _base64url_padded,
    }
)
