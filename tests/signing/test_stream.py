from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.signing import (
    PRESETS,
    BodyVerifier,
    KeyEntry,
    KeyRing,
    Malformed,
    Message,
    Missing,
    OutsideTolerance,
    Rejected,
    Scheme,
    SchemeError,
    Secret,
    UnknownKey,
    Verified,
    WrongSignature,
    can_stream,
    sign,
    verify,
)

OLD = Secret(b"old secret, 16 octets+", "k1")
NEW = Secret(b"new secret, 16 octets+", "k2")
KEYS = KeyRing.of(NEW, OLD)
NOW = 1_700_000_000
GITHUB = PRESETS["github"]
STRIPE = PRESETS["stripe"]
V1 = PRESETS["tocsin-v1"]
AROUND = Scheme(name="around", content="{method}{url}\n{body}{timestamp}", timestamp_header="X-Time")
JOINED = Scheme(name="joined", content="{method}{url}{body}{timestamp}", timestamp_header="X-Time")
EVENT = Scheme(name="event", content="{header:X-Event}.{body}")
SCHEMES = (GITHUB, STRIPE, V1, AROUND, EVENT)
ORDER = Message(
    "POST",
    "/order?x=1",
    (("Idempotency-Key", "order-17"), ("X-Event", "paid")),
    b'{"id":"evt_1"}',
    "https://api.example.com",
)


def signed(scheme: Scheme, body: bytes = ORDER.body, *, secret: Secret = OLD, at: float = NOW) -> Message:
    message = replace(ORDER, body=body)
    return replace(message, headers=message.headers + sign(message, scheme, secret, now=at))


def streamed(message: Message, scheme: Scheme, *, size: int = 5, keys: KeyRing = KEYS, now: float = NOW) -> Verified:
    verifier = BodyVerifier(replace(message, body=b""), scheme, keys, now=now)
    for start in range(0, len(message.body), size):
        verifier.update(message.body[start : start + size])
    return verifier.finish(now=now)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
@given(body=st.binary(max_size=300), size=st.integers(1, 301))
def test_a_body_in_pieces_verifies_like_the_whole(scheme: Scheme, body: bytes, size: int) -> None:
    message = signed(scheme, body)
    pieces, whole = streamed(message, scheme, size=size), verify(message, scheme, KEYS, now=NOW)
    assert pieces.signed_content_digest == whole.signed_content_digest
    assert (pieces.key_id, pieces.tenant, pieces.timestamp_unix, pieces.nonce) == (
        *("k1", "main"),
        whole.timestamp_unix,
        whole.nonce,
    )


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
@given(body=st.binary(min_size=1, max_size=300), place=st.integers(0, 299), flip=st.integers(1, 255))
def test_a_changed_octet_anywhere_in_the_body_is_rejected(scheme: Scheme, body: bytes, place: int, flip: int) -> None:
    octets = bytearray(body)
    octets[place % len(body)] ^= flip
    with pytest.raises(WrongSignature):
        streamed(replace(signed(scheme, body), body=bytes(octets)), scheme)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("body", [b"", ORDER.body[:-1], ORDER.body + b" "])
def test_a_body_that_ends_elsewhere_is_rejected(scheme: Scheme, body: bytes) -> None:
    with pytest.raises(WrongSignature):
        streamed(replace(signed(scheme), body=body), scheme)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_message_is_rejected_for_the_same_reason_as_in_one_piece(scheme: Scheme) -> None:
    good = signed(scheme)
    signature = scheme.header
    name, value = next(header for header in good.headers if header[0] == signature)
    bare = tuple(header for header in good.headers if header[0] != signature)
    worse = [
        replace(good, headers=bare),
        replace(good, headers=(*good.headers, (name.upper(), value))),
        replace(good, headers=(*bare, (name, value[:-1]))),
        replace(good, headers=(*bare, (name, value[:-1] + "\u00e9"))),
        replace(good, headers=tuple((name, value) for name, value in good.headers if name != "Idempotency-Key")),
        replace(good, headers=tuple((name, value) for name, value in good.headers if name != "X-Event")),
        replace(good, headers=(*good.headers, ("X-Event", "refunded"))),
        signed(scheme, at=NOW - 301),
        signed(scheme, at=NOW + 301),
        signed(scheme, secret=Secret(b"unknown secret, 16 octets", "k9")),
    ]
    for message in worse:
        assert verdict(verify, message, scheme) == verdict(streamed, message, scheme)


def verdict(how: Callable[..., Verified], message: Message, scheme: Scheme) -> tuple[str, str]:
    try:
        found = how(message, scheme, keys=KEYS, now=NOW)
    except Rejected as rejected:
        return rejected.kind, str(rejected)
    return "Verified", found.signed_content_digest.hex()


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/order?x=1", ORDER.body),
        ("/order?x=", b"1" + ORDER.body),
        ("/order", b"?x=1" + ORDER.body),
        ("/order?x[", b""),
    ],
)
def test_nothing_can_move_between_the_url_and_a_body_in_pieces(target: str, body: bytes) -> None:
    moved = replace(signed(JOINED), target=target, body=body)
    said = verdict(verify, moved, JOINED)
    assert said[0] == ("Verified" if body == ORDER.body else "Malformed")
    for size in (1, 5, 100):
        assert verdict(partial(streamed, size=size), moved, JOINED) == said


def test_a_head_that_cannot_verify_is_rejected_before_the_body() -> None:
    with pytest.raises(Missing):
        BodyVerifier(replace(ORDER, body=b""), GITHUB, KEYS, now=NOW)
    with pytest.raises(Malformed):
        BodyVerifier(replace(ORDER, headers=(("X-Hub-Signature-256", "sha256=0"),)), GITHUB, KEYS, now=NOW)
    with pytest.raises(UnknownKey):
        BodyVerifier(
            replace(signed(V1, secret=Secret(b"unknown secret, 16 octets", "k9")), body=b""), V1, KEYS, now=NOW
        )


def test_the_timestamp_is_judged_when_the_body_has_ended() -> None:
    message = signed(STRIPE)
    verifier = BodyVerifier(replace(message, body=b""), STRIPE, KEYS, now=NOW + 299)
    verifier.update(message.body)
    with pytest.raises(OutsideTolerance):
        verifier.finish(now=NOW + 301)


@pytest.mark.parametrize("scheme", [GITHUB, V1], ids=lambda scheme: scheme.name)
def test_a_secret_that_retires_while_the_body_arrives_does_not_verify(scheme: Scheme) -> None:
    keys = KeyRing([KeyEntry(NEW), KeyEntry(OLD, retires_at_unix=NOW + 1)])
    message = signed(scheme)
    verifier = BodyVerifier(replace(message, body=b""), scheme, keys, now=NOW)
    verifier.update(message.body)
    with pytest.raises((WrongSignature, UnknownKey)):
        verifier.finish(now=NOW + 1)


def test_an_id_in_the_body_is_absent_with_a_reason_and_one_in_a_header_is_there() -> None:
    verified = streamed(signed(STRIPE), STRIPE)
    assert (verified.message_id, verified.message_id_error) == (
        None,
        "/id in the body was not read: the body was verified piece by piece",
    )
    assert streamed(signed(V1), V1).message_id == "order-17"
    assert streamed(signed(GITHUB), GITHUB).message_id_error == ""


def test_a_scheme_that_signs_the_url_needs_its_public_origin() -> None:
    with pytest.raises(SchemeError):
        BodyVerifier(replace(signed(AROUND), body=b"", public_origin=""), AROUND, KEYS, now=NOW)


def test_a_scheme_that_reads_the_body_cannot_be_streamed() -> None:
    for content in ("{body_sha256}.{body}", "{field:/id}.{body}", "{form}"):
        scheme = Scheme(name="whole", content=content)
        assert not can_stream(scheme)
        with pytest.raises(SchemeError, match="whole needs the whole body at once; wanted `verify`"):
            BodyVerifier(ORDER, scheme, KEYS, now=NOW)


@pytest.mark.parametrize("scheme", PRESETS.values(), ids=lambda scheme: scheme.name)
def test_a_preset_that_can_be_streamed_signs_the_body_as_it_is_or_its_digest(scheme: Scheme) -> None:
    assert can_stream(scheme) <= bool({"body", "body_sha256"} & {*scheme.covered_components})
