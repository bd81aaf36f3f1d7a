"""Verify a message. PURE.

Rule: for any message whatever, the answer is a Verified or one of the kinds of Rejected, and what the signature does
not cover decides nothing.
"""

import hashlib
from hmac import compare_digest

from tocsin.signing._base import base_pieces, signature_text
from tocsin.signing._components import NONCE_WANTED, Parameters, is_nonce
from tocsin.signing._errors import (
    Duplicated,
    Malformed,
    Missing,
    OutsideTolerance,
    Rejected,
    SchemeError,
    UnknownKey,
    WrongSignature,
)
from tocsin.signing._keys import KeyEntry, KeyRing
from tocsin.signing._message import Message
from tocsin.signing._message_id import FoundId, find_message_id, is_delimited
from tocsin.signing._scheme import Compiled, Scheme
from tocsin.signing._timestamp import parse_timestamp


class Verified:
    """What a valid signature proves. Only `verify` makes one; it does not change."""

    __slots__ = ("_entry", "_found_id", "_message", "_nonce", "_pieces", "_scheme", "_timestamp_unix")

    def __init__(
        self,
        message: Message,
        scheme: Scheme,
        entry: KeyEntry,
        *,
        timestamp_unix: float | None,
        nonce: str | None,
        pieces: tuple[bytes, ...],
    ) -> None:
        self._message = message
        self._scheme = scheme
        self._entry = entry
        self._timestamp_unix = timestamp_unix
        self._nonce = nonce
        self._pieces = pieces
        self._found_id: FoundId | None = None

    @property
    def scheme(self) -> str:
        """The scheme's name."""
        return self._scheme.name

    @property
    def key_id(self) -> str | None:
        """The key id of the secret that fits, or None if it has none."""
        return self._entry.secret.key_id

    @property
    def tenant(self) -> str:
        """Whose the secret that fits is."""
        return self._entry.tenant

    @property
    def timestamp_unix(self) -> float | None:
        """The signed timestamp; None if none is signed."""
        return self._timestamp_unix

    @property
    def nonce(self) -> str | None:
        """The signed nonce; None if none is signed."""
        return self._nonce

    @property
    def message_id(self) -> str | None:
        """The signed message id as text; None if the scheme has none, or `message_id_error` says why."""
        value = self._find_id().value
        return None if value is None else str(value)

    @property
    def message_id_value(self) -> str | int | None:
        """The signed message id as the sender typed it: 17 and "17" are two ids."""
        return self._find_id().value

    @property
    def message_id_error(self) -> str:
        """Why a message that should have an id has no usable one, or "". It deserves a 400, not a 401."""
        return self._find_id().error

    @property
    def signed_content_digest(self) -> bytes:
        """SHA-256 of the signature base: the same under every secret and every spelling that verifies."""
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(piece)
        return digest.digest()

    def __repr__(self) -> str:
        return (
            f"Verified(scheme={self.scheme!r}, key_id={self.key_id!r}, tenant={self.tenant!r}, "
            f"timestamp_unix={self.timestamp_unix!r}, message_id={self.message_id!r})"
        )

    def _find_id(self) -> FoundId:
        # Not in verify: most of its cost is parsing the body, which callers without replay protection never need.
        if self._found_id is None:
            self._found_id = find_message_id(
                self._scheme.message_id, self._message, self._scheme.compiled.id_delimiters
            )
        return self._found_id


def check_keys(scheme: Scheme, keys: KeyRing) -> None:
    """Whether a ring can serve a scheme at all; call it at start-up.

    Raises:
        SchemeError: the scheme selects secrets by key id, and one has none.
    """
    if scheme.has_key_id and any(entry.secret.key_id is None for entry in keys.entries):
        raise SchemeError(f"{scheme.name} selects secrets by key id, and the key ring holds a secret without one")


def verify(message: Message, scheme: Scheme, keys: KeyRing, *, now: float) -> Verified:
    """Check the signature, then the timestamp, and that what was signed was there once.

    Args:
        message: as received.
        scheme: how it should be signed.
        keys: whose signatures count.
        now: the verifier's wall clock, in Unix seconds.

    Raises:
        Rejected: one of its kinds, for every message that does not verify.
    """
    compiled = scheme.compiled
    presented = compiled.layout.read(_once(message, scheme.header))
    parameters = _parameters(message, compiled, presented.parameters)
    timestamp_unix: float | None = None
    if compiled.signs_timestamp and parameters.timestamp is not None:
        timestamp_unix = parse_timestamp(parameters.timestamp, scheme.timestamp_format)
    nonce = _signed_nonce(compiled, parameters)
    pieces = base_pieces(message, scheme, parameters)
    entry = _signer(scheme, _candidates(keys, compiled, parameters.key_id, now), presented.signatures, pieces)
    if entry is None:
        raise _header_fault(message, compiled.covered_headers) or WrongSignature
    fault = _header_fault(message, compiled.required_headers)
    if fault is not None:
        raise fault
    if timestamp_unix is not None:
        _check_tolerance(scheme, now - timestamp_unix)
    return Verified(message, scheme, entry, timestamp_unix=timestamp_unix, nonce=nonce, pieces=pieces)


def _once(message: Message, name: str) -> str:
    values = message.values(name)
    if len(values) == 1:
        return values[0]
    raise Duplicated(f"header {name}") if values else Missing(f"header {name}")


def _parameters(message: Message, compiled: Compiled, texts: dict[str, str]) -> Parameters:
    """What the signature's header holds, and the headers of their own."""
    for kind, name in compiled.read_headers:
        texts[kind] = _once(message, name)
    return Parameters(**texts)


def _signed_nonce(compiled: Compiled, parameters: Parameters) -> str | None:
    nonce = parameters.nonce
    if nonce is None or not compiled.signs_nonce:
        return None
    if not is_nonce(nonce):
        raise Malformed("the nonce", f"is not {NONCE_WANTED}")
    if not is_delimited(nonce, compiled.nonce_delimiters):
        raise Malformed("the nonce", "contains what separates it in the signed content")
    return nonce


def _candidates(keys: KeyRing, compiled: Compiled, key_id: str | None, now: float) -> list[KeyEntry]:
    """The entries that may have signed; without key ids, all that are active."""
    found = keys.active(now)
    if compiled.has_key_id:
        found = [entry for entry in found if entry.secret.key_id == key_id]
    if not found:
        raise UnknownKey(key_id)
    return found


def _signer(
    scheme: Scheme, entries: list[KeyEntry], signatures: tuple[str, ...], pieces: tuple[bytes, ...]
) -> KeyEntry | None:
    """The entry whose secret made one of the signatures."""
    wanted = scheme.compiled.signature_length
    # compare_digest returns at once where lengths differ; only what could be a signature is worth a comparison.
    presented = [text.encode("ascii") for text in signatures if len(text) == wanted]
    if not presented:
        raise Malformed(f"header {scheme.header}", f"holds no signature of {wanted} characters of {scheme.encoding}")
    for entry in entries:
        expected = signature_text(pieces, scheme, entry.secret).encode("ascii")
        for signature in presented:
            # Not ==: its early exit tells a caller how many leading characters are right.
            if compare_digest(expected, signature):
                return entry
    return None


def _header_fault(message: Message, names: tuple[str, ...]) -> Rejected | None:
    """What is wrong with the first signed header that is not there exactly once."""
    for name in names:
        count = len(message.values(name))
        if count != 1:
            return Duplicated(f"header {name}") if count else Missing(f"header {name}")
    return None


def _check_tolerance(scheme: Scheme, age_s: float) -> None:
    tolerance_s = scheme.tolerance_future_s if age_s < 0 else scheme.tolerance_past_s
    # Not "if abs(age_s) > tolerance_s": a clock that reads NaN must not tolerate everything.
    if not abs(age_s) <= tolerance_s:
        raise OutsideTolerance(age_s, tolerance_s)
