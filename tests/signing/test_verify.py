import math
from dataclasses import replace

import pytest

from tocsin.signing import (
    PRESETS,
    Duplicated,
    KeyRing,
    Malformed,
    Message,
    MessageId,
    Missing,
    OutsideTolerance,
    Rejected,
    Scheme,
    SchemeError,
    Secret,
    UnknownKey,
    WrongSignature,
    attach,
    compute_signature,
    make_parameters,
    sign,
    verify,
)
from tocsin.signing._base import signature_text

SECRET = Secret(b"0123456789abcdef", "k1")
KEYS = KeyRing.of(SECRET)
NOW = 1_700_000_000
V1 = PRESETS["tocsin-v1"]
STRIPE = PRESETS["stripe"]
GITHUB = PRESETS["github"]
NONCE = Scheme(name="nonce", content="{timestamp}.{nonce}.{body}", timestamp_header="X-Time", nonce_header="X-Nonce")


def signed(scheme: Scheme, message: Message, *, at: float = NOW, nonce: str | None = None) -> Message:
    return with_headers(message, *sign(message, scheme, SECRET, now=at, nonce=nonce))


def with_headers(message: Message, *headers: tuple[str, str]) -> Message:
    return replace(message, headers=message.headers + headers)


def without(message: Message, name: str) -> Message:
    return replace(message, headers=tuple(header for header in message.headers if header[0] != name))


ORDER = Message("POST", "/order?x=1", (("Host", "a"), ("Idempotency-Key", "order-17")), b'{"id":"evt_1"}')


def test_verified_says_what_the_signature_proves() -> None:
    verified = verify(signed(V1, ORDER), V1, KEYS, now=NOW + 1)
    assert (verified.scheme, verified.key_id, verified.tenant) == ("tocsin-v1", "k1", "main")
    assert (verified.timestamp_unix, verified.nonce) == (NOW, None)
    assert (verified.message_id, verified.message_id_value, verified.message_id_error) == ("order-17", "order-17", "")
    assert repr(verified) == (
        "Verified(scheme='tocsin-v1', key_id='k1', tenant='main', timestamp_unix=1700000000.0, message_id='order-17')"
    )


def test_verified_does_not_change() -> None:
    verified = verify(signed(V1, ORDER), V1, KEYS, now=NOW)
    with pytest.raises(AttributeError):
        verified.tenant = "other"  # type: ignore[misc]


def test_a_message_id_is_text_and_keeps_the_senders_type_beside_it() -> None:
    verified = verify(signed(STRIPE, replace(ORDER, body=b'{"id":17}')), STRIPE, KEYS, now=NOW)
    assert (verified.message_id, verified.message_id_value) == ("17", 17)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'{"id":null}', b'{"id":"a","id":"b"}'])
def test_a_bad_id_in_a_signed_body_is_an_absent_id_with_a_reason_and_no_rejection(body: bytes) -> None:
    verified = verify(signed(STRIPE, replace(ORDER, body=body)), STRIPE, KEYS, now=NOW)
    assert verified.message_id is None
    assert verified.message_id_error != ""


def test_a_scheme_without_message_id_has_neither_id_nor_error() -> None:
    verified = verify(signed(GITHUB, ORDER), GITHUB, KEYS, now=NOW)
    assert (verified.message_id, verified.message_id_error) == (None, "")


@pytest.mark.parametrize(
    ("keys_given", "error"),
    [
        ((), "Idempotency-Key is missing"),
        (("a", "b"), "is given more than once"),
        (("a b",), "is not 1 to 255 visible"),
    ],
)
def test_a_signed_message_without_usable_idempotency_key_verifies_and_says_why_it_has_none(
    keys_given: tuple[str, ...], error: str
) -> None:
    """Such a message deserves 400 and not 401, so its signature has to be judged all the same."""
    message = replace(ORDER, headers=tuple(("Idempotency-Key", key) for key in keys_given))
    parameters = make_parameters(V1, now=NOW, key_id="k1")
    text = signature_text(V1.compiled.content.octets(message, parameters), V1, SECRET)
    verified = verify(with_headers(message, *attach(V1, text, parameters)), V1, KEYS, now=NOW)
    assert verified.message_id is None
    assert error in verified.message_id_error


def test_taking_the_idempotency_key_away_breaks_the_signature_and_the_log_says_what_is_missing() -> None:
    with pytest.raises(Missing, match="header Idempotency-Key is missing"):
        verify(without(signed(V1, ORDER), "Idempotency-Key"), V1, KEYS, now=NOW)
    with pytest.raises(Duplicated, match="header Idempotency-Key is given more than once"):
        verify(with_headers(signed(V1, ORDER), ("Idempotency-Key", "x")), V1, KEYS, now=NOW)


def test_another_signed_header_must_be_there_once_even_if_the_signature_fits() -> None:
    scheme = Scheme(name="event", content="{header:X-Event}.{body}")
    whole = signed(scheme, with_headers(ORDER, ("X-Event", "paid, refunded")))
    verify(whole, scheme, KEYS, now=NOW)
    split = with_headers(without(whole, "X-Event"), ("X-Event", "paid"), ("X-Event", "refunded"))
    with pytest.raises(Duplicated, match="header X-Event"):
        verify(split, scheme, KEYS, now=NOW)
    empty = signed(scheme, with_headers(ORDER, ("X-Event", "")))
    with pytest.raises(Missing, match="header X-Event"):
        verify(without(empty, "X-Event"), scheme, KEYS, now=NOW)


@pytest.mark.parametrize("name", ["X-Time", "X-Nonce", "X-Signature"])
def test_every_header_of_the_scheme_must_be_there_once(name: str) -> None:
    message = signed(NONCE, ORDER, nonce="n-1")
    with pytest.raises(Missing, match=f"header {name}"):
        verify(without(message, name), NONCE, KEYS, now=NOW)
    with pytest.raises(Duplicated, match=f"header {name}"):
        verify(with_headers(message, (name.upper(), message.values(name)[0])), NONCE, KEYS, now=NOW)


def test_the_signed_nonce_is_reported() -> None:
    assert verify(signed(NONCE, ORDER, nonce="n-1"), NONCE, KEYS, now=NOW).nonce == "n-1"


@pytest.mark.parametrize("nonce", ["", "a b", "\u00e9", "a" * 256])
def test_a_nonce_that_is_not_visible_ascii_is_malformed(nonce: str) -> None:
    message = with_headers(ORDER, ("X-Time", str(NOW)), ("X-Nonce", nonce), ("X-Signature", "0" * 64))
    with pytest.raises(Malformed, match="the nonce is not 1 to 255"):
        verify(message, NONCE, KEYS, now=NOW)


def test_what_the_signature_does_not_cover_decides_nothing() -> None:
    scheme = Scheme(name="unsigned", content="{body}", timestamp_header="X-Time", nonce_header="X-Nonce")
    message = signed(scheme, ORDER, at=0, nonce="n-1")
    for seen in (message, without(without(message, "X-Time"), "X-Nonce"), with_headers(message, ("X-Time", "junk"))):
        verified = verify(seen, scheme, KEYS, now=NOW)
        assert (verified.timestamp_unix, verified.nonce) == (None, None)


def test_an_unsigned_key_id_still_selects_the_secret() -> None:
    scheme = Scheme(name="key-id", content="{body}", key_id_header="X-Key")
    message = signed(scheme, ORDER)
    assert verify(message, scheme, KEYS, now=NOW).key_id == "k1"
    with pytest.raises(UnknownKey, match="'k2'"):
        verify(with_headers(without(message, "X-Key"), ("X-Key", "k2")), scheme, KEYS, now=NOW)


@pytest.mark.parametrize("age_s", [300, 0, -300])
def test_the_tolerance_ends_exactly_where_it_says(age_s: int) -> None:
    assert verify(signed(STRIPE, ORDER, at=NOW - age_s), STRIPE, KEYS, now=NOW).timestamp_unix == NOW - age_s


@pytest.mark.parametrize(("age_s", "tolerance_s"), [(31, 30), (-11, 10), (86_400, 30), (-86_400, 10)])
def test_outside_tolerance_says_how_far(age_s: int, tolerance_s: int) -> None:
    scheme = replace(STRIPE, tolerance_past_s=30, tolerance_future_s=10)
    with pytest.raises(OutsideTolerance) as refused:
        verify(signed(scheme, ORDER, at=NOW - age_s), scheme, KEYS, now=NOW)
    assert (refused.value.age_s, refused.value.tolerance_s) == (age_s, tolerance_s)


def test_a_forged_old_message_is_called_forged_and_not_old() -> None:
    message = replace(signed(STRIPE, ORDER, at=0), body=b"other")
    with pytest.raises(WrongSignature):
        verify(message, STRIPE, KEYS, now=NOW)


def test_no_timestamp_is_tolerated_by_a_clock_that_reads_infinity() -> None:
    with pytest.raises(Rejected):
        verify(signed(STRIPE, ORDER), STRIPE, KEYS, now=-math.inf)


def test_a_signature_of_another_length_is_malformed() -> None:
    parameters = make_parameters(STRIPE, now=NOW)
    for text in ("", "ab", "0" * 63, "0" * 65):
        with pytest.raises(Malformed, match="holds no signature of 64 characters of hex"):
            verify(with_headers(ORDER, *attach(STRIPE, text, parameters)), STRIPE, KEYS, now=NOW)


def test_a_signature_for_another_scheme_of_the_same_secret_does_not_verify() -> None:
    """tocsin-v1's content names the scheme, so that no other layout can produce it by accident."""
    parameters = make_parameters(V1, now=NOW, key_id="k1")
    text = compute_signature(ORDER, STRIPE, SECRET, make_parameters(STRIPE, now=NOW))
    with pytest.raises(WrongSignature):
        verify(with_headers(ORDER, *attach(V1, text, parameters)), V1, KEYS, now=NOW)


def test_the_public_origin_is_configured_and_the_host_header_ignored() -> None:
    scheme = Scheme(name="url", content="{url}\n{body}")
    message = signed(scheme, replace(ORDER, public_origin="https://api.example.com"))
    verify(message, scheme, KEYS, now=NOW)
    with pytest.raises(WrongSignature):
        verify(replace(message, public_origin="https://evil.example"), scheme, KEYS, now=NOW)
    with pytest.raises(SchemeError, match="no public origin is configured"):
        verify(replace(message, public_origin=""), scheme, KEYS, now=NOW)


def test_the_digest_is_the_same_under_another_secret_and_another_spelling() -> None:
    other = Secret(b"fedcba9876543210", "k1")
    first = signed(STRIPE, ORDER)
    junk = with_headers(ORDER, ("stripe-signature", "v0=x," + first.headers[-1][1] + ",zz"))
    second = with_headers(ORDER, *sign(ORDER, STRIPE, other, now=NOW))
    keys = KeyRing.of(SECRET, other)
    digests = {verify(message, STRIPE, keys, now=NOW).signed_content_digest for message in (first, junk, second)}
    assert len(digests) == 1


def test_the_digest_of_a_body_scheme_is_the_digest_of_the_body() -> None:
    verified = verify(signed(GITHUB, replace(ORDER, body=b"abc")), GITHUB, KEYS, now=NOW)
    # FIPS 180-2 appendix B.1.
    assert verified.signed_content_digest.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_differs_for_any_other_signed_content() -> None:
    changed = [ORDER, replace(ORDER, body=b"{}"), replace(ORDER, method="PUT"), replace(ORDER, target="/order?x=2")]
    digests = {verify(signed(V1, message), V1, KEYS, now=NOW).signed_content_digest for message in changed}
    assert len(digests) == len(changed)


def test_a_body_is_neither_copied_nor_decoded() -> None:
    message = signed(STRIPE, replace(ORDER, body=b"\xff" * 100_000))
    pieces = STRIPE.compiled.content.octets(message, make_parameters(STRIPE, now=NOW))
    assert pieces[-1] is message.body


def test_a_message_id_header_of_ones_own_is_separated_and_read() -> None:
    scheme = Scheme(
        name="standard",
        content="{header:webhook-id}.{timestamp}.{body}",
        encoding="base64",
        header="webhook-signature",
        value="v1,{signature}",
        item_separator=" ",
        timestamp_header="webhook-timestamp",
        message_id=MessageId(header="webhook-id"),
    )
    message = signed(scheme, with_headers(ORDER, ("webhook-id", "msg_1")))
    assert verify(message, scheme, KEYS, now=NOW).message_id == "msg_1"
    assert verify(signed(scheme, with_headers(ORDER, ("webhook-id", "a.b"))), scheme, KEYS, now=NOW).message_id is None
