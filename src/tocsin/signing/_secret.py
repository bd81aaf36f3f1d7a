"""Secret: octets that can sign and verify, and cannot be printed. PURE, but for asking `_sources` where told to.

Rule: nothing that a log, a traceback with locals or a debugger's summary shows of a Secret holds its octets. A frame
that something may be raised in, or through, lets go of them first.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from tocsin.signing._errors import SchemeError
from tocsin.signing._mac import KeyedHash
from tocsin.signing._nearest import unknown
from tocsin.signing._sources import read_env, read_file

# 128 bits. NIST SP 800-131A rev. 2 section 10 disallows HMAC keys below 112; 16 octets is the first round size above.
MIN_SECRET_BYTES = 16
_DECODERS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {"utf8": bytes, "hex": binascii.unhexlify, "base64": partial(b64decode, validate=True)}
)
SECRET_ENCODINGS = tuple(_DECODERS)
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+~-]{0,127}")


class Secret:
    """A shared secret, and perhaps its key id.

    Args:
        octets: the key of the HMAC.
        key_id: what the message calls it, under schemes with key ids: up to 128 of A-Z a-z 0-9 . _ : / @ + ~ -
        allow_short: permits 1 to 15 octets, for published test vectors and for services that one scans.

    Raises:
        SchemeError: empty, short, or a key id that could not stand in every header.
    """

    __slots__ = ("_derived", "_keyed", "_octets", "key_id")

    def __init__(self, octets: bytes, key_id: str | None = None, *, allow_short: bool = False) -> None:
        self.key_id = key_id  # First, so that a half-built secret in a traceback has a repr too.
        fault = _fault(octets, key_id, allow_short=allow_short)
        if fault:
            # A traceback that shows locals is about to see this frame.
            del octets
            raise SchemeError(fault)
        self._octets = octets
        self._keyed: dict[str, KeyedHash] = {}
        self._derived: tuple[tuple[str, bytes, tuple[bytes, ...]], KeyedHash] | None = None

    @classmethod
    def decode(
        cls,
        text: bytes,
        *,
        encoding: str = "utf8",
        prefix: str = "",
        key_id: str | None = None,
        allow_short: bool = False,
    ) -> "Secret":
        """A secret from how a provider writes it.

        Args:
            text: as written: b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".
            encoding: utf8 (the octets as they are), hex, base64 (RFC 4648 section 4, padded).
            prefix: cut off before decoding, and wanted there: "whsec_".
            key_id: see Secret.
            allow_short: see Secret.

        Raises:
            SchemeError: the prefix is not there, the text is not in that encoding, or see Secret.
        """
        octets, fault = _decoded(text, encoding, prefix)
        fault = fault or _fault(octets, key_id, allow_short=allow_short)
        if fault:
            del text, octets
            raise SchemeError(fault)
        return cls(octets, key_id, allow_short=allow_short)

    @classmethod
    def from_env(
        cls,
        name: str,
        *,
        encoding: str = "utf8",
        prefix: str = "",
        key_id: str | None = None,
        allow_short: bool = False,
    ) -> "Secret":
        """A secret from an environment variable; the other arguments as for `decode`.

        Raises:
            SchemeError: the variable is not set, or see `decode`.
        """
        return cls.decode(read_env(name), encoding=encoding, prefix=prefix, key_id=key_id, allow_short=allow_short)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        encoding: str = "utf8",
        prefix: str = "",
        key_id: str | None = None,
        allow_short: bool = False,
    ) -> "Secret":
        """A secret from a file, less one line break at its end; the other arguments as for `decode`.

        Raises:
            SchemeError: the file cannot be read, or see `decode`.
        """
        return cls.decode(read_file(path), encoding=encoding, prefix=prefix, key_id=key_id, allow_short=allow_short)

    @classmethod
    def from_callback(
        cls,
        fetch: Callable[[], bytes],
        *,
        encoding: str = "utf8",
        prefix: str = "",
        key_id: str | None = None,
        allow_short: bool = False,
    ) -> "Secret":
        """A secret from wherever a callable gets it, such as a vault; the other arguments as for `decode`.

        It is called once, now. For secrets that change while a service runs, see the `keys` of the middlewares.

        Raises:
            SchemeError: see `decode`. What it raises itself goes through.
        """
        return cls.decode(fetch(), encoding=encoding, prefix=prefix, key_id=key_id, allow_short=allow_short)

    def keyed(self, hash_name: str) -> KeyedHash:
        """The HMAC under this secret; its state is computed once."""
        try:
            return self._keyed[hash_name]
        except KeyError:
            # Two threads may both compute it: they compute the same.
            keyed = self._keyed[hash_name] = KeyedHash(self._octets, hash_name)
            return keyed

    def derived(self, hash_name: str, prefix: bytes, chain: tuple[bytes, ...]) -> KeyedHash:
        """The HMAC under a key derived from this secret: each step of the chain is signed under the key before it.

        Only the last one is remembered: a step that messages name, such as the day, would fill the memory.
        """
        derivation = (hash_name, prefix, chain)
        last = self._derived
        if last is not None and last[0] == derivation:
            return last[1]
        key = prefix + self._octets
        try:
            for step in chain:
                key = KeyedHash(key, hash_name).digest((step,))
            keyed = KeyedHash(key, hash_name)
        finally:
            del key
        # In one store: another thread sees either derivation with its own key.
        self._derived = (derivation, keyed)
        return keyed

    def signs_like(self, other: "Secret") -> bool:
        """Whether two secrets give the same signatures, as equal octets do. For configuration, not for messages."""
        return self.keyed("sha256").digest(()) == other.keyed("sha256").digest(())

    def __repr__(self) -> str:
        return f"Secret(key_id={self.key_id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not pickled or copied; pass it on, or load it again")

    # Every object has one, which returns what stands in the slots.
    __getstate__ = __reduce__


def _fault(octets: object, key_id: object, *, allow_short: bool) -> str:
    """What is wrong with a secret; it raises nothing, for its frame holds the octets."""
    if not isinstance(octets, bytes):
        return f"the secret is of type {type(octets).__name__}; wanted bytes"
    length = len(octets)
    if length == 0:
        return "the secret is empty: everybody could sign"
    if length < MIN_SECRET_BYTES and not allow_short:
        return f"the secret has {length} bytes; wanted at least {MIN_SECRET_BYTES}, or allow_short if it cannot change"
    if key_id is not None and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
        return f"key id {key_id!r}: wanted up to 128 of A-Z a-z 0-9 . _ : / @ + ~ - and a letter or digit first"
    return ""


def _decoded(text: object, encoding: str, prefix: object) -> tuple[bytes, str]:
    """The octets, and what is wrong with the text; it raises nothing, as above."""
    if not isinstance(text, bytes):
        return b"", f"the secret is of type {type(text).__name__}; wanted bytes"
    if not isinstance(prefix, str):
        return b"", f"secret_prefix = {prefix!r}: wanted a string"
    if encoding not in SECRET_ENCODINGS:
        return b"", unknown("secret_encoding", encoding, SECRET_ENCODINGS)
    marker = prefix.encode("utf-8")
    if not text.startswith(marker):
        return b"", f"the secret does not begin with {prefix!r}"
    rest = text[len(marker) :]
    try:
        return _DECODERS[encoding](rest), ""
    except ValueError:
        return b"", f"the secret is not {encoding}"
