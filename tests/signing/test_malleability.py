"""What verification libraries get wrong, as named tests; test_broken_twins.py shows that each of them can fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from tocsin.signing import (
    PRESETS,
    Duplicated,
    KeyRing,
    Malformed,
    Message,
    OutsideTolerance,
    Rejected,
    Scheme,
    Secret,
    Verified,
    WrongSignature,
    attach,
    compute_signature,
    make_parameters,
    sign,
)

Verifier: TypeAlias = Callable[..., Verified]

SECRET = Secret(b"0123456789abcdef", "k1")
KEYS = KeyRing.of(SECRET)
NOW = 1_700_000_000
STRIPE = PRESETS["stripe"]
GITHUB = PRESETS["github"]
TIMED = Scheme(name="timed", content="v0:{timestamp}:{body}", value="v0={signature}", timestamp_header="X-Time")
ORDER = Message("POST", "/order", (("Idempotency-Key", "order-17"),), b'{"id":"evt_1"}')


def signed(scheme: Scheme, message: Message = ORDER, *, at: float = NOW) -> Message:
    return replace(message, headers=message.headers + sign(message, scheme, SECRET, now=at))


def carrying(value: str, scheme: Scheme = STRIPE, message: Message = ORDER) -> Message:
    return replace(message, headers=((scheme.header, value),))


def text_of(scheme: Scheme, message: Message = ORDER) -> str:
    return compute_signature(message, scheme, SECRET, make_parameters(scheme, now=NOW))


ALIASES = [
    "+1700000000",
    "01700000000",
    " 1700000000",
    "1700000000 ",
    "1700_000_000",
    "1700000000.0",
    "1.7e9",
    "\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660",
]


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_of_the_timestamp_does_not_verify(verify: Verifier, alias: str) -> None:
    """Neither under the signature of the canonical one, nor signed as it stands."""
    canonical = dict(sign(ORDER, TIMED, SECRET, now=NOW))["X-Signature"]
    as_it_stands = compute_over(f"v0:{alias}:".encode() + ORDER.body)
    for signature in (canonical, f"v0={as_it_stands}"):
        with pytest.raises(Malformed, match="the timestamp"):
            verify(replace(ORDER, headers=(("X-Time", alias), ("X-Signature", signature))), TIMED, KEYS, now=NOW)


def compute_over(base: bytes) -> str:
    return SECRET.keyed("sha256").digest([base]).hex()


def test_junk_before_the_good_item_of_a_list_is_skipped(verify: Verifier) -> None:
    good = signed(STRIPE).headers[-1][1]
    for junk in ("v1", "v1=", "v1=%", "v0=x", "=", "", "\\", "v1=" + "z" * 64):
        verify(carrying(f"{junk},{good}"), STRIPE, KEYS, now=NOW)


def test_every_signature_of_a_list_is_tried(verify: Verifier) -> None:
    good = text_of(STRIPE)
    forged = "0" * 64
    for signatures in ((good, forged), (forged, good), (forged, forged, good)):
        value = f"t={NOW}" + "".join(f",v1={text}" for text in signatures)
        verify(carrying(value), STRIPE, KEYS, now=NOW)


def test_two_timestamps_in_one_list_are_rejected(verify: Verifier) -> None:
    for other in (NOW, NOW + 1):
        with pytest.raises(Duplicated):
            verify(carrying(f"t={NOW},t={other},v1={text_of(STRIPE)}"), STRIPE, KEYS, now=NOW)


@pytest.mark.parametrize("body", [b"\xff\xfe\xfd", b"\xed\xa0\x80", b"\0", "\ufeff{}".encode("utf-16")])
def test_a_body_that_is_not_utf8_verifies_as_bytes(verify: Verifier, body: bytes) -> None:
    verify(signed(STRIPE, replace(ORDER, body=body)), STRIPE, KEYS, now=NOW)


@pytest.mark.parametrize("scheme", [STRIPE, GITHUB], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("character", ["\u00e9", "\u212a", "\ud800", "\0", "\U0001f600"])
def test_a_signature_that_is_not_ascii_is_rejected_and_raises_nothing_else(
    verify: Verifier, scheme: Scheme, character: str
) -> None:
    value = attach(scheme, "0" * 64, make_parameters(scheme, now=NOW))[-1][1]
    for other in (value[:-1] + character, character + value, character * 64):
        with pytest.raises(Rejected):
            verify(carrying(other, scheme), scheme, KEYS, now=NOW)


@pytest.mark.parametrize("ahead_s", [301, 86_400, 365 * 86_400])
def test_a_timestamp_in_the_future_is_rejected(verify: Verifier, ahead_s: int) -> None:
    with pytest.raises(OutsideTolerance):
        verify(signed(STRIPE, at=NOW + ahead_s), STRIPE, KEYS, now=NOW)


@pytest.mark.parametrize("age_s", [301, 86_400, 365 * 86_400])
def test_a_timestamp_in_the_past_is_rejected(verify: Verifier, age_s: int) -> None:
    with pytest.raises(OutsideTolerance):
        verify(signed(STRIPE, at=NOW - age_s), STRIPE, KEYS, now=NOW)


@pytest.mark.parametrize("scheme", [STRIPE, GITHUB], ids=lambda scheme: scheme.name)
def test_a_signature_header_in_two_fields_is_rejected(verify: Verifier, scheme: Scheme) -> None:
    """Whichever field is valid: another reader of the request may look at the other one."""
    name, value = signed(scheme).headers[-1]
    for headers in (
        ((name, value), (name, value)),
        ((name, value), (name.lower(), "junk")),
        ((name.upper(), "junk"), (name, value)),
    ):
        with pytest.raises(Duplicated):
            verify(replace(ORDER, headers=headers), scheme, KEYS, now=NOW)


def test_only_the_declared_case_of_hex_verifies(verify: Verifier) -> None:
    with pytest.raises(WrongSignature):
        verify(carrying(f"sha256={text_of(GITHUB).upper()}", GITHUB), GITHUB, KEYS, now=NOW)


@pytest.mark.parametrize("declared", ["base64", "base64url", "base64url="])
def test_only_the_declared_alphabet_and_padding_of_base64_verify(verify: Verifier, declared: str) -> None:
    schemes = {name: replace(GITHUB, encoding=name) for name in ("base64", "base64url", "base64url=")}
    # The first body whose signature has a character in which the alphabets differ.
    messages = (replace(ORDER, body=str(number).encode()) for number in range(1000))
    message = next(message for message in messages if "+" in text_of(schemes["base64"], message))
    for name, scheme in schemes.items():
        spelled = carrying(f"sha256={text_of(scheme, message)}", GITHUB, message)
        if name == declared:
            verify(spelled, schemes[declared], KEYS, now=NOW)
        else:
            with pytest.raises(Rejected):
                verify(spelled, schemes[declared], KEYS, now=NOW)


def test_base64_with_other_trailing_bits_does_not_verify(verify: Verifier) -> None:
    """32 octets leave two unused bits in the last character: four spellings decode alike."""
    scheme = replace(GITHUB, encoding="base64")
    text = text_of(scheme)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(text[-2]) ^ 1]
    with pytest.raises(WrongSignature):
        verify(carrying(f"sha256={text[:-2]}{last}=", scheme), scheme, KEYS, now=NOW)


@pytest.mark.parametrize("index", [0, 7, 8, 31, 63])
def test_every_character_of_a_signature_is_compared(verify: Verifier, index: int) -> None:
    text = text_of(GITHUB)
    other = "0" if text[index] != "0" else "1"
    with pytest.raises(WrongSignature):
        verify(carrying(f"sha256={text[:index]}{other}{text[index + 1 :]}", GITHUB), GITHUB, KEYS, now=NOW)


def test_a_signed_header_that_is_split_in_two_is_rejected(verify: Verifier) -> None:
    scheme = Scheme(name="event", content="{header:X-Event}.{body}")
    whole = signed(scheme, replace(ORDER, headers=(("X-Event", "paid, refunded"),)))
    split = replace(whole, headers=(("X-Event", "paid"), ("X-Event", "refunded"), whole.headers[-1]))
    with pytest.raises(Duplicated):
        verify(split, scheme, KEYS, now=NOW)


def test_bytes_cannot_move_between_nonce_and_body(verify: Verifier) -> None:
    """Signed as nonce "n-1" and body "x.y", never valid as nonce "n-1.x" and body "y"."""
    scheme = Scheme(name="nonce", content="{nonce}.{body}", nonce_header="X-Nonce")
    headers = dict(sign(replace(ORDER, body=b"x.y"), scheme, SECRET, now=NOW, nonce="n-1"))
    moved = (("X-Nonce", "n-1.x"), ("X-Signature", headers["X-Signature"]))
    with pytest.raises(Malformed, match="contains what separates it"):
        verify(replace(ORDER, headers=moved, body=b"y"), scheme, KEYS, now=NOW)
