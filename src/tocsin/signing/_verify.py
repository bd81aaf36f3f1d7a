"""Verify a message. PURE.

Rule: for any message whatever, the answer is a Verified or one of the kinds of Rejected, and what the signature does
not cover decides nothing.
"""

from hmac import compare_digest

from tocsin.signing._base import base_pieces, signature_text
from tocsin.signing._compiled import Compiled
from tocsin.signing._components import DATE_CHARACTERS, NONCE_WANTED, Parameters, is_nonce
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
from tocsin.signing._verified import Verified

_NO_PARAMETERS = Parameters()


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
    parameters, timestamp_unix, nonce = claimed(message, scheme, presented)
    # Before the base is built: that costs as much as the message is long, and whoever has no key can ask for it.
    candidates = candidates_for(keys, compiled, parameters.key_id, now)
    pieces = base_pieces(message, scheme, parameters)
    entry = signer_of(scheme, candidates, presented.signatures, pieces, parameters)
    if entry is None:
        raise header_fault(message, compiled.covered_headers) or WrongSignature
    check_signed(message, scheme, parameters, timestamp_unix, now)
    return Verified(message, scheme, entry, timestamp_unix, nonce, pieces)


def claimed(message: Message, scheme: Scheme, presented: Presented) -> tuple[Parameters, float | None, str | None]:
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


def candidates_for(keys: KeyRing, compiled: Compiled, key_id: str | None, now: float) -> tuple[KeyEntry, ...]:
    """The entries that may have signed; without key ids, all that are active. Raises UnknownKey: there are none."""
    found = keys.named(key_id, now) if compiled.has_key_id else keys.active(now)
    if not found:
        raise UnknownKey(key_id)
    return found


def signer_of(
    scheme: Scheme,
    entries: tuple[KeyEntry, ...],
    signatures: tuple[str, ...],
    pieces: tuple[bytes, ...],
    parameters: Parameters,
) -> KeyEntry | None:
    """The entry whose secret made one of the signatures."""
    presented = possible(scheme, signatures)
    for entry in entries:
        if is_among(presented, signature_text(pieces, scheme, entry.secret, parameters)):
            return entry
    return None


def possible(scheme: Scheme, signatures: tuple[str, ...]) -> list[str]:
    """Those that have the length of a signature. Raises Malformed: none has."""
    # compare_digest returns at once where lengths differ; only what could be a signature is worth a comparison.
    wanted = scheme.compiled.signature_length
    found = [text for text in signatures if len(text) == wanted]
    if not found:
        raise Malformed(scheme.signature_place, f"holds no signature of {wanted} characters of {scheme.encoding}")
    return found


def is_among(presented: list[str], expected: str) -> bool:
    """Whether the signature that is right was presented."""
    for signature in presented:  # noqa: SIM110  a generator costs as much again as the comparison
        # Not ==: its early exit tells a caller how many leading characters are right.
        if compare_digest(expected, signature):
            return True
    return False


def header_fault(message: Message, names: tuple[str, ...]) -> Rejected | None:
    """What is wrong with the first signed header that is not there exactly once."""
    for name in names:
        count = len(message.values(name))
        if count != 1:
            return Duplicated(f"header {name}") if count else Missing(f"header {name}")
    return None


def check_signed(
    message: Message, scheme: Scheme, parameters: Parameters, timestamp_unix: float | None, now: float
) -> None:
    """What is asked once a signature is right. Raises Rejected: one of its kinds."""
    fault = header_fault(message, scheme.compiled.required_headers)
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
