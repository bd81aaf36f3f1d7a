"""Verify a message. PURE.

Rule: for any message whatever, the answer is a Verified or one of the kinds of Rejected, and what the signature does
not cover decides nothing.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from hmac import compare_digest

from tocsin.signing._base import base_pieces, signature_text
from tocsin.signing._compiled import Compiled
from tocsin.signing._components import DATE_CHARACTERS, NONCE_WANTED, Parameters, body_after_url, is_nonce
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._errors import (
    Duplicated,
    Malformed,
    Missing,
    OutsideTolerance,
    Rejected,
    SchemeError,
    UnknownKey,
    WrongDigest,
    WrongSignature,
)
from tocsin.signing._keys import KeyEntry, KeyRing
from tocsin.signing._layout import Presented
from tocsin.signing._message import Message
from tocsin.signing._message_id import is_delimited
from tocsin.signing._origin import parse_origin
from tocsin.signing._quick import verify_bare, verify_quickly
from tocsin.signing._scheme import Scheme
from tocsin.signing._shape import Bare
from tocsin.signing._timestamp import parse_timestamp
from tocsin.signing._verified import StreamVerified, Verified

_NO_PARAMETERS = Parameters()
# What is known before the body is. Any other component might need all of the body at once.
_OF_THE_HEAD = frozenset({"method", "path", "query", "target", "url", "host", "port", "timestamp", "nonce", "key_id"})


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
        SchemeError: the scheme signs the public URL, and message.public_origin is not a public origin. It is ours to
            configure, so every message raises it, whoever sent it.
    """
    shape = scheme.compiled.shape
    verified: Verified | None = None
    if isinstance(shape, Bare):
        verified = verify_bare(message, scheme, shape, keys, now)
    elif shape is not None:
        verified = verify_quickly(message, scheme, shape, keys, now)
    return verify_generally(message, scheme, keys, now) if verified is None else verified


def verify_generally(message: Message, scheme: Scheme, keys: KeyRing, now: float) -> Verified:
    """As `verify`, for every scheme and every spelling: this is what decides, and `_quick` only forestalls it."""
    if scheme.compiled.content.needs_origin:
        parse_origin(message.public_origin)
    first: Rejected | None = None
    for presented in scheme.compiled.carrier.read(message):
        try:
            return _verify_presented(message, scheme, keys, presented, now)
        except Rejected as rejected:
            first = first or rejected
    assert first is not None
    raise first


def _verify_presented(message: Message, scheme: Scheme, keys: KeyRing, presented: Presented, now: float) -> Verified:
    compiled = scheme.compiled
    parameters, timestamp_unix, nonce = _claim(message, scheme, presented)
    # Before the base is built: that costs as much as the message is long, and whoever has no key can ask for it.
    candidates = _candidates(keys, compiled, parameters.key_id, now)
    pieces = base_pieces(message, scheme, parameters)
    entry = _signer(scheme, candidates, presented.signatures, pieces, parameters)
    if entry is None:
        raise _header_fault(message, compiled.covered_headers) or WrongSignature
    _check_signed(message, scheme, parameters, timestamp_unix, now)
    return Verified(message, scheme, entry, timestamp_unix, nonce, pieces)


def _claim(message: Message, scheme: Scheme, presented: Presented) -> tuple[Parameters, float | None, str | None]:
    """What a message says of itself: its parameters, and of these the signed timestamp and the signed nonce."""
    compiled = scheme.compiled
    parameters = _parameters(message, compiled, presented.parameters)
    timestamp_unix: float | None = None
    if compiled.signs_timestamp and parameters.timestamp is not None:
        timestamp_unix = parse_timestamp(parameters.timestamp, scheme.timestamp_format)
    return parameters, timestamp_unix, _signed_nonce(compiled, parameters)


def _parameters(message: Message, compiled: Compiled, texts: dict[str, str]) -> Parameters:
    """What the message carries; where that repeats something, it has to repeat it rightly."""
    if not texts:
        return _NO_PARAMETERS
    parameters = Parameters(**texts)
    if parameters.date is not None and parameters.date != (parameters.timestamp or "")[:DATE_CHARACTERS]:
        raise Malformed("the date", "is not the day of the timestamp")
    digest = compiled.digest
    if digest is not None and not digest.fits(parameters.digest or "", message):
        raise WrongDigest("what is sent as the digest")
    return parameters


def _signed_nonce(compiled: Compiled, parameters: Parameters) -> str | None:
    nonce = parameters.nonce
    if nonce is None or not compiled.signs_nonce:
        return None
    if not is_nonce(nonce):
        raise Malformed("the nonce", f"is not {NONCE_WANTED}")
    if not is_delimited(nonce, compiled.nonce_delimiters):
        raise Malformed("the nonce", "contains what separates it in the signed content")
    return nonce


def _candidates(keys: KeyRing, compiled: Compiled, key_id: str | None, now: float) -> tuple[KeyEntry, ...]:
    """The entries that may have signed; without key ids, all that are active."""
    found = keys.named(key_id, now) if compiled.has_key_id else keys.active(now)
    if not found:
        raise UnknownKey(key_id)
    return found


def _signer(
    scheme: Scheme,
    entries: tuple[KeyEntry, ...],
    signatures: tuple[str, ...],
    pieces: tuple[bytes, ...],
    parameters: Parameters,
) -> KeyEntry | None:
    """The entry whose secret made one of the signatures."""
    presented = _possible(scheme, signatures)
    for entry in entries:
        if _is_among(presented, signature_text(pieces, scheme, entry.secret, parameters)):
            return entry
    return None


def _possible(scheme: Scheme, signatures: tuple[str, ...]) -> list[str]:
    # compare_digest returns at once where lengths differ; only what could be a signature is worth a comparison.
    wanted = scheme.compiled.signature_length
    found = [text for text in signatures if len(text) == wanted]
    if not found:
        raise Malformed(scheme.signature_place, f"holds no signature of {wanted} characters of {scheme.encoding}")
    return found


def _is_among(presented: list[str], expected: str) -> bool:
    for signature in presented:  # noqa: SIM110  a generator costs as much again as the comparison
        # Not ==: its early exit tells a caller how many leading characters are right.
        if compare_digest(expected, signature):
            return True
    return False


def _header_fault(message: Message, names: tuple[str, ...]) -> Rejected | None:
    """What is wrong with the first signed header that is not there exactly once."""
    for name in names:
        count = len(message.values(name))
        if count != 1:
            return Duplicated(f"header {name}") if count else Missing(f"header {name}")
    return None


def _check_signed(
    message: Message, scheme: Scheme, parameters: Parameters, timestamp_unix: float | None, now: float
) -> None:
    """What is asked once a signature is right."""
    fault = _header_fault(message, scheme.compiled.required_headers)
    if fault is not None:
        raise fault
    if timestamp_unix is not None:
        _check_tolerance(scheme, now - timestamp_unix)
        _check_expiry(parameters.expires, timestamp_unix, now)


def _check_expiry(expires: str | None, timestamp_unix: float, now: float) -> None:
    """RFC 9421 section 2.3: the sender may ask for less than is tolerated."""
    if expires is not None:
        lifetime_s = parse_timestamp(expires, "unix") - timestamp_unix
        if not now - timestamp_unix <= lifetime_s:
            raise OutsideTolerance(now - timestamp_unix, lifetime_s)


def _check_tolerance(scheme: Scheme, age_s: float) -> None:
    tolerance_s = scheme.tolerance_future_s if age_s < 0 else scheme.tolerance_past_s
    # Not "if abs(age_s) > tolerance_s": a clock that reads NaN must not tolerate everything.
    if not abs(age_s) <= tolerance_s:
        raise OutsideTolerance(age_s, tolerance_s)


def can_stream(scheme: Scheme) -> bool:
    """Whether `BodyVerifier` takes a scheme: it signs the body as it is, or by its SHA-256, and nothing from in it."""
    compiled = scheme.compiled
    kinds = {name for name in compiled.content.components if not name.startswith("header:")}
    return (
        kinds - _OF_THE_HEAD in ({"body"}, {"body_sha256"})
        and not compiled.pointers
        and compiled.signature_pointer is None
        and compiled.digest is None
        and compiled.derivation is None
    )


class BodyVerifier:
    """Verifies a body that arrives in pieces, without keeping it. The verdict is that of `verify`.

    Nothing of the body may be used before `finish` has returned: until then nobody is known to have signed it.

    Args:
        head: the message with an empty body.
        scheme: how it should be signed.
        keys: whose signatures count.
        now: the verifier's wall clock, in Unix seconds.

    Raises:
        Rejected: one of its kinds, where the head alone decides.
        SchemeError: the scheme needs the whole body at once, see `can_stream`; or as for `verify`.
    """

    __slots__ = (
        "_base",
        "_begins",
        "_claim",
        "_head",
        "_keys",
        "_pieces",
        "_place",
        "_presented",
        "_scheme",
        "_streams",
    )

    def __init__(self, head: Message, scheme: Scheme, keys: KeyRing, *, now: float) -> None:
        if not can_stream(scheme):
            raise SchemeError(f"{scheme.name} needs the whole body at once; wanted `verify`")
        compiled = scheme.compiled
        if compiled.content.needs_origin:
            parse_origin(head.public_origin)
        (presented,) = compiled.carrier.read(head)
        self._head, self._scheme, self._keys = head, scheme, keys
        self._claim = _claim(head, scheme, presented)
        self._presented = _possible(scheme, presented.signatures)
        candidates = _candidates(keys, compiled, self._claim[0].key_id, now)
        self._pieces = base_pieces(head, scheme, self._claim[0])
        self._begins = b""
        self._place = compiled.content.place("body")
        self._base = hashlib.sha256()
        # Not one stream for a body that is signed by its digest: there the base is known, and short, at the end.
        self._streams = [
            (entry, entry.secret.keyed(scheme.hash).begin()) for entry in candidates if self._place is not None
        ]
        self._take(self._pieces[: self._place or 0])

    def update(self, octets: bytes) -> None:
        """Take the next octets of the body."""
        self._begins = self._begins or octets[:1]
        self._take((octets,))

    def finish(self, *, now: float) -> Verified:
        """The verdict on the whole.

        Args:
            now: the verifier's wall clock, in Unix seconds: a body that took its time may have outlived its timestamp.

        Raises:
            Rejected: one of its kinds.
        """
        parameters, timestamp_unix, nonce = self._claim
        candidates = _candidates(self._keys, self._scheme.compiled, parameters.key_id, now)
        if self._scheme.compiled.content.joins_url_and_body:
            body_after_url(replace(self._head, body=self._begins))
        entry = self._signer(candidates)
        if entry is None:
            raise _header_fault(self._head, self._scheme.compiled.covered_headers) or WrongSignature
        _check_signed(self._head, self._scheme, parameters, timestamp_unix, now)
        digest = self._base.digest()
        return StreamVerified(self._head, self._scheme, entry, timestamp_unix, nonce, digest)

    def _signer(self, active: tuple[KeyEntry, ...]) -> KeyEntry | None:
        if self._place is None:
            place = self._scheme.compiled.content.place("body_sha256")
            digest = self._base.hexdigest().encode("ascii")
            pieces = tuple([digest if index == place else piece for index, piece in enumerate(self._pieces)])
            self._base = hashlib.sha256(b"".join(pieces))
            return _signer(self._scheme, active, tuple(self._presented), pieces, self._claim[0])
        self._take(self._pieces[self._place + 1 :])
        for entry, stream in self._streams:
            expected = ENCODINGS[self._scheme.encoding](stream.digest())
            if entry in active and _is_among(self._presented, expected):
                return entry
        return None

    def _take(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._base.update(piece)
            for _entry, stream in self._streams:
                stream.update(piece)
