"""The quick way has no opinion of its own: whatever it says, the general way says too."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.signing import (
    PRESETS,
    KeyEntry,
    KeyRing,
    Malformed,
    Message,
    Rejected,
    Scheme,
    SchemeError,
    Secret,
    Verified,
    WrongDigest,
    WrongSignature,
    sign,
    verify,
)
from tocsin.signing import _quick as quick
from tocsin.signing import _verify as module
from tocsin.signing._quick import verify_bare, verify_quickly
from tocsin.signing._shape import Bare, Shape

OLD = Secret(b"old secret, 16 octets+", "k1")
NEW = Secret(b"new secret, 16 octets+", "k2")
NOW = 1_700_000_000
KEYS = KeyRing([KeyEntry(NEW), KeyEntry(OLD, retires_at_unix=NOW + 1000)])
GITHUB, STRIPE, SLACK, V1 = (PRESETS[name] for name in ("github", "stripe", "slack", "tocsin-v1"))
HAWK, TWILIO_JSON = PRESETS["hawk"], PRESETS["twilio-json"]
OWN = (
    Scheme(name="after", content="100%{body}{timestamp}%b%", timestamp_header="X-Time", timestamp_format="unix_ms"),
    Scheme(name="between", content="%{timestamp}%{body}%d", timestamp_header="timestamp", key_id_header="key_id"),
    Scheme(name="key", content="{body}", value="k={key_id} s={signature}", item_separator=" "),
    Scheme(name="head", content="{timestamp}{method}{header:X-Event}{path}", timestamp_header="X-Time"),
    Scheme(name="prefix", content="a{body}b", encoding="base64", value="v1={signature}"),
    Scheme(name="time", content="{timestamp}", timestamp_header="X-Time"),
    Scheme(name="url", content="{url}{body}"),
    Scheme(name="request", content="{method} {target}\n{body}", value="v1={signature}"),
    Scheme(name="list of one", content="{body}", value="v1={signature}", item_separator=","),
    Scheme(name="brackets", value="<{signature}>"),
    Scheme(name="two in one", content="{timestamp}{body}", value="{timestamp}.{signature}"),
    Scheme(name="signature first", content="{timestamp}.{body}", value="{signature}.{timestamp}"),
    Scheme(name="nonce", content="{nonce}.{body}", nonce_header="X-Nonce"),
    Scheme(name="nonce in a list", content="{nonce}\n{url}", value="n={nonce}&s={signature}", item_separator="&"),
    Scheme(name="digest", content="{digest}|{host}:{port}", digest="hawk", digest_header="X-Digest"),
    Scheme(name="rfc digest", content="{query}{digest}", digest="rfc9530", digest_header="X-Digest", hash="sha512"),
    Scheme(name="two bodies", content="{timestamp}{body_sha256}.{body}", timestamp_header="X-Time"),
    Scheme(name="field", content="{timestamp}.{field:/id}", timestamp_header="X-Time"),
    Scheme(name="unsigned time", content="{body}", timestamp_header="X-Time"),
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
TEXTS = (
    *(
        "",
        "0",
        "00",
        "t=1",
        "v1=",
        ",",
        " ",
        "=",
        ".",
        '"',
        "?",
        "%",
        "%41",
        "&",
        "\u00e9",
        "\u0661",
        "\0",
        "\n",
        "\x7f",
    ),
    *("1.7e9", "9" * 12, "a" * 300, "a" * 5000, "n\nn", "o-17\n1700000000"),
)


def quickly(message: Message, scheme: Scheme, keys: KeyRing = KEYS, now: float = NOW) -> Verified | None:
    shape = scheme.compiled.shape
    if isinstance(shape, Bare):
        return verify_bare(message, scheme, shape, keys, now)
    assert isinstance(shape, Shape)
    return verify_quickly(message, scheme, shape, keys, now)


def signed(scheme: Scheme, *, secret: Secret = OLD, at: float = NOW) -> Message:
    message = MESSAGES.get(scheme.name, ORDER)
    return replace(message, headers=message.headers + sign(message, scheme, secret, now=at, nonce="n-1"))


def said(message: Message, scheme: Scheme, now: float, *, quick: bool, keys: KeyRing = KEYS) -> tuple[object, ...]:
    try:
        found = verify(message, scheme, keys, now=now) if quick else module.verify_generally(message, scheme, keys, now)
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
    yield replace(message, method=text)
    other = draw.draw(st.integers(0, len(headers) - 1))
    headers[other] = (headers[other][0], draw.draw(st.sampled_from([text, value, text + headers[other][1]])))
    yield replace(message, headers=tuple(headers))
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
    for secret in (OLD, NEW):
        assert quickly(signed(scheme, secret=secret), scheme) is not None


@pytest.mark.parametrize(
    "scheme", [scheme for scheme in SHAPED if "{body}" in scheme.content], ids=lambda scheme: scheme.name
)
def test_a_body_is_hashed_where_it_lies(scheme: Scheme) -> None:
    message = signed(scheme)
    verified = quickly(message, scheme)
    assert verified is not None
    assert any(piece is message.body for piece in verified._pieces)


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
    for other in others:
        message = replace(ORDER, headers=(*ORDER.headers, (name, other)))
        assert quickly(message, STRIPE) is None, other
    assert quickly(ORDER, STRIPE) is None
    twice = replace(ORDER, headers=(*ORDER.headers, (name, value), (name, value)))
    assert quickly(twice, STRIPE) is None
    retired = KeyRing([KeyEntry(OLD, retires_at_unix=NOW)])
    assert quickly(signed(STRIPE), STRIPE, retired) is None
    assert quickly(signed(GITHUB), GITHUB, retired) is None


@pytest.mark.parametrize(
    ("scheme", "header"), [(GITHUB, "X-Hub-Signature-256"), (SLACK, "X-Slack-Signature"), (V1, "Idempotency-Key")]
)
def test_a_header_that_is_read_is_there_once_and_others_are_passed_by(scheme: Scheme, header: str) -> None:
    message = signed(scheme)
    (value,) = message.values(header)
    same_length = header[:-1] + "!"
    for name, verifies in ((same_length, True), ("X-Longer-Than-Any-Of-Them-Is", True), (header.lower(), False)):
        more = replace(message, headers=(*message.headers, (name, value)))
        assert (quickly(more, scheme) is not None) is verifies


FIELD = next(scheme for scheme in OWN if scheme.name == "field")
NONCE = next(scheme for scheme in OWN if scheme.name == "nonce")


def with_last_header(message: Message, value: str) -> Message:
    """The header that `sign` writes last holds the signature."""
    return replace(message, headers=(*message.headers[:-1], (message.headers[-1][0], value)))


@pytest.mark.parametrize(
    ("scheme", "changes"),
    [
        (PRESETS["square"], {"target": "/a b"}),
        (HAWK, {"body": b"other"}),
        (FIELD, {"body": b"{}"}),
        (STRIPE, {"body": b"other"}),
    ],
    ids=["target", "digest", "field", "body"],
)
def test_a_signature_that_cannot_be_printed_is_the_first_reason(scheme: Scheme, changes: dict[str, Any]) -> None:
    message = replace(signed(scheme), **changes)
    with pytest.raises(Rejected) as said_first:
        quickly(message, scheme)
    assert "printable" not in str(said_first.value)
    value = message.headers[-1][1]
    place = value.rindex("=") - 2 if scheme is HAWK else len(value) - 1
    other = with_last_header(message, value[:place] + "\x7f" + value[place + 1 :])
    assert quickly(other, scheme) is None
    with pytest.raises(Malformed, match="other than printable ASCII"):
        verify(other, scheme, KEYS, now=NOW)


def test_a_nonce_that_holds_its_separator_is_left_to_the_general_way() -> None:
    message = signed(NONCE)
    headers = tuple((name, "n.1" if name == "X-Nonce" else value) for name, value in message.headers)
    assert quickly(message, NONCE) is not None
    assert quickly(replace(message, headers=headers), NONCE) is None


def test_a_value_begins_as_declared() -> None:
    wrong = tuple((name, value.replace("sha256=", "sha255=")) for name, value in signed(GITHUB).headers)
    assert quickly(replace(ORDER, headers=wrong), GITHUB) is None


@pytest.mark.parametrize("scheme", [HAWK, TWILIO_JSON], ids=lambda scheme: scheme.name)
def test_a_wrong_digest_is_computed_once(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    message = signed(scheme)
    monkeypatch.setattr(module, "verify_generally", lambda *_arguments: pytest.fail("hashed again"))
    with pytest.raises(WrongDigest):
        verify(replace(message, body=b"other"), scheme, KEYS, now=NOW)


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(name="unsigned time", content="{body}", value="t={timestamp},s={signature}", item_separator=","),
        Scheme(name="unsigned nonce", content="{body}", value="{nonce}.{signature}"),
        Scheme(name="its separator", value="a,b={signature}, k={key_id}", item_separator=", "),
    ],
    ids=lambda scheme: scheme.name,
)
def test_what_is_read_in_more_than_one_way_has_no_shape(scheme: Scheme) -> None:
    assert scheme.compiled.shape is None


def test_only_what_reads_bodies_lists_or_dates_has_no_shape() -> None:
    assert {name for name, scheme in PRESETS.items() if scheme.compiled.shape is None} == {
        *("adyen", "mailgun", "razorpay-checkout", "linear", "aws-sigv4", "rfc9421-hmac-sha256", "zendesk"),
    }


@pytest.mark.parametrize("place", [7, 20, 63])
def test_every_character_of_a_signature_is_compared_here_too(place: int) -> None:
    for scheme in (GITHUB, STRIPE):
        message = signed(scheme)
        value = message.headers[-1][1]
        at = len(value) - 64 + place
        other = with_last_header(message, value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1 :])
        with pytest.raises(WrongSignature):
            quickly(other, scheme)


def at_once(rejected: Rejected, *_texts: str) -> None:
    raise rejected


BROKEN: dict[str, tuple[str, Callable[..., object], Callable[..., None], tuple[Any, ...]]] = {
    "gives a reason for what it cannot print": (
        "_refuse",
        at_once,
        test_a_signature_that_cannot_be_printed_is_the_first_reason,
        (HAWK, {"body": b"other"}),
    ),
    "does not ask where a nonce ends": (
        "is_delimited",
        lambda *_texts: True,
        test_a_nonce_that_holds_its_separator_is_left_to_the_general_way,
        (),
    ),
    "compares a prefix": (
        "compare_digest",
        lambda expected, given: expected[:16] == given[:16],
        test_every_character_of_a_signature_is_compared_here_too,
        (63,),
    ),
}


@pytest.mark.parametrize("twin", BROKEN)
def test_a_quick_way_without_this_defence_is_caught_by_its_named_test(
    twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, replacement, named_test, arguments = BROKEN[twin]
    named_test(*arguments)
    monkeypatch.setattr(quick, name, replacement)
    with pytest.raises((Exception, pytest.fail.Exception)):
        named_test(*arguments)
