"""The quick way has no opinion of its own: whatever it says, the general way says too."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.signing import (
    PRESETS,
    KeyEntry,
    KeyRing,
    Message,
    Rejected,
    Scheme,
    SchemeError,
    Secret,
    WrongSignature,
    sign,
    verify,
)
from tocsin.signing import _verify as module
from tocsin.signing._quick import verify_quickly

OLD = Secret(b"old secret, 16 octets+", "k1")
NEW = Secret(b"new secret, 16 octets+", "k2")
NOW = 1_700_000_000
KEYS = KeyRing([KeyEntry(NEW), KeyEntry(OLD, retires_at_unix=NOW + 1000)])
GITHUB, STRIPE, SLACK, V1 = (PRESETS[name] for name in ("github", "stripe", "slack", "tocsin-v1"))
OWN = (
    Scheme(name="after", content="100%{body}{timestamp}%b%", timestamp_header="X-Time", timestamp_format="unix_ms"),
    Scheme(name="between", content="%{timestamp}%{body}%d", timestamp_header="timestamp", key_id_header="key_id"),
    Scheme(name="key", content="{body}", value="k={key_id} s={signature}", item_separator=" "),
    Scheme(name="head", content="{timestamp}{method}{header:X-Event}{path}", timestamp_header="X-Time"),
    Scheme(name="prefix", content="a{body}b", encoding="base64", value="v1={signature}"),
    Scheme(name="time", content="{timestamp}", timestamp_header="X-Time"),
    Scheme(name="url", content="{url}{body}"),
)
SHAPED = [scheme for scheme in (*PRESETS.values(), *OWN) if scheme.compiled.shape is not None]
ORDER = Message(
    "POST",
    "/order?x=1",
    (("Host", "a"), ("Idempotency-Key", "o-17"), ("webhook-id", "m"), ("svix-id", "m"), ("X-Event", "paid")),
    b'{"id":"evt_1"}',
    "https://api.example.com",
)
MESSAGES = {
    "twilio": replace(ORDER, body=b"a=1&b=2"),
    "twilio-json": replace(ORDER, target=f"/order?bodySHA256={hashlib.sha256(ORDER.body).hexdigest()}"),
}
TEXTS = ("", "0", "00", "t=1", "v1=", ",", " ", "=", "\u00e9", "\u0661", "\0", "\n", "1.7e9", "9" * 12, "a" * 5000)


def signed(scheme: Scheme, *, secret: Secret = OLD, at: float = NOW) -> Message:
    message = MESSAGES.get(scheme.name, ORDER)
    return replace(message, headers=message.headers + sign(message, scheme, secret, now=at))


def said(message: Message, scheme: Scheme, now: float, *, quick: bool, keys: KeyRing = KEYS) -> tuple[object, ...]:
    with pytest.MonkeyPatch.context() as patch:
        if not quick:
            patch.setattr(module, "verify_quickly", lambda *_arguments: None)
        try:
            found = verify(message, scheme, keys, now=now)
        except (Rejected, SchemeError) as error:
            return type(error), str(error)
    facts = (found.scheme, found.key_id, found.tenant, found.timestamp_unix, found.nonce, found.message_id)
    return (*facts, found.message_id_error, found.signed_content_digest)


def mutations(message: Message, draw: st.DataObject) -> Iterator[Message]:
    headers = list(message.headers)
    place = draw.draw(st.integers(0, len(headers) - 1))
    name, value = headers[place]
    cut = draw.draw(st.integers(0, len(value)))
    text = draw.draw(st.sampled_from(TEXTS))
    yield replace(message, headers=tuple(headers[:place] + headers[place + 1 :]))
    yield replace(message, headers=(*headers, (name.swapcase(), draw.draw(st.sampled_from([value, text])))))
    headers[place] = (name.upper(), value[:cut] + text + value[cut + draw.draw(st.integers(0, 2)) :])
    yield replace(message, headers=tuple(headers))
    yield replace(message, body=message.body + text.encode())
    yield replace(message, target=message.target + text)
    yield replace(message, public_origin=draw.draw(st.sampled_from(["", "https://other.example.com"])))


@pytest.mark.parametrize("scheme", SHAPED, ids=lambda scheme: scheme.name)
@settings(max_examples=25)
@given(data=st.data())
def test_the_quick_and_the_general_way_say_the_same_of_any_message(scheme: Scheme, data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from([OLD, NEW, Secret(b"unknown secret, 16 octets", "k1")]))
    good = signed(scheme, secret=secret)
    nows = (NOW, NOW + 299, NOW + 301, NOW - 301, NOW + 1000, float("nan"), 0.0)
    for message in (good, *mutations(good, data)):
        now = data.draw(st.sampled_from(nows))
        assert said(message, scheme, now, quick=True) == said(message, scheme, now, quick=False)


@pytest.mark.parametrize("scheme", SHAPED, ids=lambda scheme: scheme.name)
def test_what_signing_spells_needs_no_other_way(scheme: Scheme) -> None:
    shape = scheme.compiled.shape
    assert shape is not None
    for secret in (OLD, NEW):
        assert verify_quickly(signed(scheme, secret=secret), scheme, shape, KEYS, NOW) is not None


@pytest.mark.parametrize("scheme", SHAPED, ids=lambda scheme: scheme.name)
def test_a_wrong_signature_is_computed_once(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends rubbish must not cost twice."""
    message = signed(scheme, secret=Secret(b"unknown secret, 16 octets", "k1"))
    monkeypatch.setattr(module, "base_pieces", lambda *_arguments: pytest.fail("hashed again"))
    with pytest.raises(WrongSignature):
        verify(message, scheme, KEYS, now=NOW)


def test_what_needs_a_reason_is_left_to_the_general_way() -> None:
    (name, value) = signed(STRIPE).headers[-1]
    others = [
        value.replace(",", ", "),
        value + ",v1=0",
        value.replace("t=", "T="),
        value[:-1],
        value[:-1] + "\u00e9",
        value[:-1] + "\x7f",
        value + "0" * 5000,
        value.replace("t=1700000000", "t=0"),
        value.replace("t=1700000000", "t=01700000000"),
        value.replace("t=1700000000", "t=\u0661"),
        value.replace("t=1700000000", "t=1600000000"),
    ]
    shape = STRIPE.compiled.shape
    assert shape is not None
    for other in others:
        message = replace(ORDER, headers=(*ORDER.headers, (name, other)))
        assert verify_quickly(message, STRIPE, shape, KEYS, NOW) is None, other
    assert verify_quickly(ORDER, STRIPE, shape, KEYS, NOW) is None
    twice = replace(ORDER, headers=(*ORDER.headers, (name, value), (name, value)))
    assert verify_quickly(twice, STRIPE, shape, KEYS, NOW) is None
    retired = KeyRing([KeyEntry(OLD, retires_at_unix=NOW)])
    assert verify_quickly(signed(STRIPE), STRIPE, shape, retired, NOW) is None


@pytest.mark.parametrize(
    ("scheme", "header"), [(GITHUB, "X-Hub-Signature-256"), (SLACK, "X-Slack-Signature"), (V1, "Idempotency-Key")]
)
def test_a_header_that_is_read_is_there_once_and_others_are_passed_by(scheme: Scheme, header: str) -> None:
    shape = scheme.compiled.shape
    assert shape is not None
    message = signed(scheme)
    (value,) = message.values(header)
    same_length = header[:-1] + "!"
    for name, verifies in ((same_length, True), ("X-Longer-Than-Any-Of-Them-Is", True), (header.lower(), False)):
        more = replace(message, headers=(*message.headers, (name, value)))
        assert (verify_quickly(more, scheme, shape, KEYS, NOW) is not None) is verifies


def test_a_value_begins_as_declared() -> None:
    wrong = tuple((name, value.replace("sha256=", "sha255=")) for name, value in signed(GITHUB).headers)
    assert GITHUB.compiled.shape is not None
    assert verify_quickly(replace(ORDER, headers=wrong), GITHUB, GITHUB.compiled.shape, KEYS, NOW) is None


@pytest.mark.parametrize(
    "name", ["adyen", "mailgun", "razorpay-checkout", "hawk", "aws-sigv4", "rfc9421-hmac-sha256", "zendesk"]
)
def test_what_reads_bodies_nonces_lists_or_dates_has_no_shape(name: str) -> None:
    assert PRESETS[name].compiled.shape is None


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(name="nonce", content="{nonce}.{body}", nonce_header="X-Nonce"),
        Scheme(name="unsigned time", content="{body}", value="t={timestamp},s={signature}", item_separator=","),
        Scheme(name="brackets", value="<{signature}>"),
        Scheme(name="two in one", content="{timestamp}{body}", value="{timestamp}.{signature}"),
    ],
    ids=lambda scheme: scheme.name,
)
def test_what_is_read_in_more_than_one_way_has_no_shape(scheme: Scheme) -> None:
    assert scheme.compiled.shape is None
