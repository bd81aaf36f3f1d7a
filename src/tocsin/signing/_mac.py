"""HMAC over pieces, with the secret absorbed beforehand. PURE.

Rule: what a message costs is its own octets. RFC 2104 section 4: the blocks K xor ipad and K xor opad are the same for
every message, so their hash states are computed once per secret and copied.
"""

import hashlib
from collections.abc import Iterable

_INNER = bytes(octet ^ 0x36 for octet in range(256))
_OUTER = bytes(octet ^ 0x5C for octet in range(256))


class KeyedHash:
    """HMAC under one secret and one hash."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, octets: bytes, hash_name: str) -> None:
        try:
            plain = hashlib.new(hash_name)
            if len(octets) > plain.block_size:
                octets = hashlib.new(hash_name, octets).digest()
            octets = octets.ljust(plain.block_size, b"\0")
            self._inner = hashlib.new(hash_name, octets.translate(_INNER))
            self._outer = hashlib.new(hash_name, octets.translate(_OUTER))
        finally:
            # A hash that this OpenSSL does not have is raised here, and a traceback that shows locals sees this frame.
            del octets

    def digest(self, pieces: Iterable[bytes]) -> bytes:
        """The MAC of the pieces' concatenation."""
        inner = self._inner.copy()
        for piece in pieces:
            inner.update(piece)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def begin(self) -> "KeyedStream":
        """The MAC of octets that arrive one after the other."""
        return KeyedStream(self._inner.copy(), self._outer)


class KeyedStream:
    """One MAC in the making. `KeyedHash.begin` makes it."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, inner: "hashlib._Hash", outer: "hashlib._Hash") -> None:
        self._inner = inner
        self._outer = outer

    def update(self, octets: bytes) -> None:
        """Add octets at the end."""
        self._inner.update(octets)

    def digest(self) -> bytes:
        """The MAC of all octets so far."""
        outer = self._outer.copy()
        outer.update(self._inner.digest())
        return outer.digest()
