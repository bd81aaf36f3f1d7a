"""What holds for every message, every preset and some schemes of other shapes."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Message,
    MessageId,
    Rejected,
    Scheme,
    Secret,
    sign,
    signed_message,
    verify,
)

SECRET = Secret(b"0123456789abcdef", "k1")
OTHER_SECRET = Secret(b"fedcba9876543210", "k2")
KEYS = KeyRing.of(SECRET, OTHER_SECRET)
NOW = 1_700_000_000
ORIGIN = "https://api.example.com"
SHAPES = (
    Scheme(name="url", content="{method}{url}{body}{timestamp}", timestamp_header="X-Time", timestamp_format="unix_ms"),
    Scheme(
        name="nonce",
        content="{timestamp}:{nonce}:{key_id}:{path}:{query}:{body}",
        encoding="base64url",
        hash="sha512",
        value="k={key_id};n={nonce};s={signature}.",
        timestamp_header="X-Time",
        timestamp_format="iso8601",
    ),
    Scheme(name="fields", content="{field:/a}\n{optional_field:/b/c}\n{target}", value="s={signature}"),
    Scheme(name="digest", content="{digest}\n{header:X-Event}", digest="rfc9530", digest_header="X-Digest"),
    Scheme(name="headers", content="{header:X-Event}\n{nonce}", nonce_header="X-Nonce", message_id=None),
    Scheme(
        name="id",
        content="{header:webhook-id}.{body}",
        message_id=MessageId(header="webhook-id"),
        encoding="base64url=",
    ),
)
SCHEMES = (*PRESETS.values(), *SHAPES)
EVERY_SCHEME = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)

unreserved = st.text("abcXYZ019-._~", min_size=1, max_size=8)
texts = st.text("abcXYZ019-._ \u00e9\u2713&=+%", max_size=8)
words = st.text("abcXYZ019-_", min_size=1, max_size=12)
octets = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0"), max_size=20)
queries = st.lists(st.tuples(unreserved, unreserved), max_size=3).map(urlencode)
targets = st.builds(
    lambda path, query: f"/{path}?{query}" if query else f"/{path}", words.map(lambda word: f"v1/{word}"), queries
)


# What may stand right behind a signed URL.
json_like = st.one_of(st.just(b""), st.binary(max_size=200).map(lambda rest: b"{" + rest))


def json_octets(document: object) -> bytes:
    return json.dumps(document).encode()


adyen_bodies = st.builds(
    lambda one, two, value: json_octets(
        {
            "live": "false",
            "notificationItems": [
                {
                    "NotificationRequestItem": {
                        "pspReference": one,
                        "merchantAccountCode": two,
                        "amount": {"value": value, "currency": "EUR"},
                        "eventCode": "AUTHORISATION",
                        "success": "true",
                        "additionalData": {},
                    }
                }
            ],
        }
    ),
    words,
    words,
    st.integers(0, 10**6),
)
BODIES: dict[str, st.SearchStrategy[bytes]] = {
    "adyen": adyen_bodies,
    "mailgun": words.map(lambda word: json_octets({"signature": {}, "event-data": {"id": word}})),
    "razorpay-checkout": st.tuples(words, words).map(
        lambda ids: urlencode({"razorpay_order_id": ids[0], "razorpay_payment_id": ids[1]}).encode()
    ),
    "linear": words.map(lambda word: json_octets({"action": word, "webhookTimestamp": 0})),
    "twilio": st.dictionaries(words, texts, max_size=4).map(lambda form: urlencode(form).encode()),
    "fields": st.tuples(words, words).map(lambda ids: json_octets({"a": ids[0], "b": {"c": ids[1]}})),
}


@st.composite
def honest(draw: st.DrawFn, scheme: Scheme) -> Message:
    """A message that a sender could send under a scheme, before it is signed."""
    identifier = draw(words)
    usual = json_like if scheme.compiled.content.joins_url_and_body else st.binary(max_size=200)
    body = draw(BODIES.get(scheme.name, usual))
    target = draw(targets)
    if scheme.name == "twilio-json":
        target += ("&" if "?" in target else "?") + "bodySHA256=" + hashlib.sha256(body).hexdigest()
    headers = (
        ("Host", "a"),
        ("Idempotency-Key", identifier),
        ("webhook-id", identifier),
        ("svix-id", identifier),
        ("X-Event", draw(octets)),
        ("Content-Type", "text/plain"),
    )
    return Message(draw(st.sampled_from(["POST", "PUT"])), target, headers, body, ORIGIN)


def signed(scheme: Scheme, message: Message, secret: Secret = SECRET) -> Message:
    return signed_message(message, scheme, secret, now=NOW, nonce="n-1")


@EVERY_SCHEME
@settings(max_examples=15)
@given(st.data())
def test_what_is_signed_verifies(scheme: Scheme, data: st.DataObject) -> None:
    whole = signed(scheme, data.draw(honest(scheme)))
    verified = verify(whole, scheme, KEYS, now=NOW)
    assert verified.key_id == "k1"
    assert verified.timestamp_unix == (NOW if scheme.covers("timestamp") else None)
    assert (verified.message_id is None) == (scheme.message_id is None or verified.message_id_error != "")


@EVERY_SCHEME
@settings(max_examples=40)
@given(st.data())
def test_one_byte_changed_in_any_covered_part_is_rejected(scheme: Scheme, data: st.DataObject) -> None:
    whole = signed(scheme, data.draw(honest(scheme)))
    part = data.draw(st.sampled_from(sorted(parts_that_count(scheme))))
    other = change(scheme, whole, part, data)
    assume(other != whole)
    if scheme.name == "twilio" and part == "body":
        # The sorted set of its parameters is what is covered, however they are spelled.
        assume(parameters_of(other.body) != parameters_of(whole.body))
    with pytest.raises(Rejected):
        verify(other, scheme, KEYS, now=NOW)


def parameters_of(form: bytes) -> set[tuple[str, str]]:
    return set(parse_qsl(form.decode("latin-1"), keep_blank_values=True))


def parts_that_count(scheme: Scheme) -> set[str]:
    """The fields of Message under the signature, the headers under it or with it, and pointers into the body."""
    fields = {"method": "method", "path": "target", "query": "target", "body": "body"}
    covered = {field for component, field in fields.items() if scheme.covers(component)}
    pointers = {name.split(":", 1)[1] for name in scheme.covered_components if name.startswith("field:")}
    pointers |= {scheme.signature_pointer or "", scheme.timestamp_pointer or "", scheme.nonce_pointer or ""} - {""}
    covered |= set() if scheme.covers("body") else pointers
    return covered | {*scheme.covered_headers, *scheme.written_headers}


def change(scheme: Scheme, message: Message, part: str, data: st.DataObject) -> Message:
    if part == "body":
        return replace(message, body=bytes(edited(list(message.body), data)))
    if part.startswith("/"):
        return change_field(scheme, message, part, data)
    # A list may hold junk, so that one more separator in it is no change: there, a byte is replaced and none added.
    only_replace = scheme.item_separator is not None and part == scheme.header
    text: str = getattr(message, part) if part in {"method", "target"} else message.values(part)[0]
    new = "".join(map(chr, edited([ord(character) for character in text], data, only_replace=only_replace)))
    if part in {"method", "target"}:
        fields: dict[str, Any] = {part: new}
        return replace(message, **fields)
    return replace(message, headers=tuple((name, new if name == part else old) for name, old in message.headers))


def change_field(scheme: Scheme, message: Message, pointer: str, data: st.DataObject) -> Message:
    is_form = scheme.body_format == "form"
    document = dict(parse_qsl(message.body.decode())) if is_form else json.loads(message.body)
    *path, last = pointer[1:].split("/")
    parent = document
    for token in path:
        parent = parent[int(token)] if isinstance(parent, list) else parent[token]
    old = str(parent[last])
    new = "".join(map(chr, edited([ord(character) for character in old], data)))
    assume(new != old)
    parent[last] = new
    return replace(message, body=urlencode(document).encode() if is_form else json_octets(document))


def edited(codes: list[int], data: st.DataObject, *, only_replace: bool = False) -> list[int]:
    """One code replaced, put in or taken out."""
    where = data.draw(st.integers(0, max(0, len(codes) - 1)))
    new = data.draw(st.integers(0, 255))
    kind = "replace" if only_replace else data.draw(st.sampled_from(["replace", "put in", "take out"]))
    middle = [] if kind == "take out" else [new]
    return [*codes[:where], *middle, *codes[where + (kind != "put in") :]]


def spellings(scheme: Scheme, message: Message) -> Iterator[tuple[str, Message]]:
    """The same signed message, written otherwise."""
    yield "header names in another case", replace(message, headers=swapped(message.headers))
    if scheme.item_separator is not None:
        value = message.values(scheme.header)[0]
        name = "Hawk " if scheme.name == "hawk" else ""
        for items in (f"v9=junk{scheme.item_separator}{value[len(name) :]}", f"{value}{scheme.item_separator}junk"):
            yield "junk in the list", with_header(message, scheme.header, name + items.removeprefix(name))
    if scheme.name == "rfc9421-hmac-sha256":
        junk = with_header(message, "Signature-Input", 'x=("date");tag="y", ' + message.values("Signature-Input")[0])
        yield "another signature", with_header(junk, "Signature", message.values("Signature")[0] + ", x=:YQ==:")
    if scheme.name == "twilio":
        yield "parameters in another order", replace(message, body=b"&".join(reversed(message.body.split(b"&"))))
    if scheme.name == "aws-sigv4" and "?" in message.target:
        query = "&".join(reversed(message.query.split("&")))
        yield "query in another order", replace(message, target=f"{message.path}?{query}")
    if scheme.signature_pointer is not None and scheme.body_format == "json":
        yield "spaces between members", replace(message, body=json.dumps(json.loads(message.body), indent=3).encode())


def swapped(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name.swapcase(), value) for name, value in headers)


def with_header(message: Message, name: str, value: str) -> Message:
    return replace(message, headers=tuple((given, value if given == name else old) for given, old in message.headers))


@EVERY_SCHEME
@settings(max_examples=10)
@given(st.data())
def test_the_digest_is_the_same_for_every_spelling_of_one_signed_message(scheme: Scheme, data: st.DataObject) -> None:
    whole = signed(scheme, data.draw(honest(scheme)))
    digest = verify(whole, scheme, KEYS, now=NOW).signed_content_digest
    for spelling, other in spellings(scheme, whole):
        assert verify(other, scheme, KEYS, now=NOW).signed_content_digest == digest, spelling


@EVERY_SCHEME
@settings(max_examples=15)
@given(st.data())
def test_the_digest_is_another_one_for_any_other_signed_content(scheme: Scheme, data: st.DataObject) -> None:
    one, two = data.draw(honest(scheme)), data.draw(honest(scheme))
    digests = [verify(signed(scheme, message), scheme, KEYS, now=NOW).signed_content_digest for message in (one, two)]
    signatures = [signature_of(scheme, signed(scheme, message)) for message in (one, two)]
    assert (digests[0] == digests[1]) == (signatures[0] == signatures[1])


def signature_of(scheme: Scheme, message: Message) -> object:
    [presented] = scheme.compiled.carrier.read(message)
    return presented.signatures


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if not scheme.has_key_id], ids=lambda s: s.name)
def test_the_digest_does_not_depend_on_the_secret(scheme: Scheme) -> None:
    """A retry after the secret has been rotated is still the same message."""
    message = example_of(scheme)
    digests = {
        verify(signed(scheme, message, secret), scheme, KEYS, now=NOW).signed_content_digest
        for secret in (SECRET, OTHER_SECRET)
    }
    assert len(digests) == 1


def example_of(scheme: Scheme) -> Message:
    bodies = {
        "adyen": {
            "notificationItems": [
                {
                    "NotificationRequestItem": {
                        "pspReference": "p",
                        "merchantAccountCode": "m",
                        "amount": {"value": 1, "currency": "EUR"},
                        "eventCode": "e",
                        "success": "true",
                        "additionalData": {},
                    }
                }
            ]
        },
        "mailgun": {"signature": {}},
        "fields": {"a": "1"},
        "linear": {"webhookTimestamp": 0},
    }
    forms = {"razorpay-checkout": b"razorpay_order_id=o&razorpay_payment_id=p", "twilio": b"a=1&b=2"}
    body = forms.get(scheme.name) or json_octets(bodies.get(scheme.name, {"id": "evt_1"}))
    headers = (("webhook-id", "m1"), ("svix-id", "m1"), ("X-Event", "e"))
    return Message("POST", f"/hook?bodySHA256={hashlib.sha256(body).hexdigest()}", headers, body, ORIGIN)


anything = st.text(max_size=40)
fragments = st.sampled_from(
    [
        *("t=1700000000", "v1=", "k=k1", ",", ";", "sha256=", "0" * 64, "a" * 64, "1700000000", "n=", "s=", "v1,", " "),
        *('"', "sig1=", '("@method")', ";created=1", ';keyid="k1"', ":YQ==:", "sha-256=", "Hawk ", 'id="k1"', ", "),
        *("AWS4-HMAC-SHA256 Credential=k1/20231114/us-east-1/execute-api/aws4_request, SignedHeaders=host", "=("),
    ]
)
odd_values = st.lists(st.one_of(fragments, anything), max_size=6).map("".join)
values = st.one_of(anything, odd_values, st.just("v1=0," * 2000), st.just("a=(" * 900), st.just("a=1;" * 1000))
known_names = sorted({name for scheme in SCHEMES for name in (*scheme.written_headers, *scheme.covered_headers)})
names = st.one_of(st.sampled_from(known_names), anything)
headers = st.lists(st.tuples(names, values), max_size=8).map(tuple)
odd_bodies = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"[" * 5000, b'{"signature":{"signature":1.5}}', b'{"notificationItems":[{},{}]}', b"a=%zz&b"]),
    adyen_bodies,
)
any_message = st.builds(Message, anything, anything, headers, odd_bodies, st.just(ORIGIN))


@settings(max_examples=1000)
@given(st.sampled_from(SCHEMES), any_message, st.floats())
def test_any_message_at_any_time_verifies_or_is_rejected(scheme: Scheme, message: Message, now: float) -> None:
    """Lone surrogates, NUL, non-latin-1, empty and huge values: nothing but a kind of Rejected comes out."""
    try:
        verify(message, scheme, KEYS, now=now)
    except Rejected as rejected:
        reason = str(rejected)
        event(rejected.kind)
        if not reason.isprintable():
            raise AssertionError(f"a log line would break: {reason!r}") from None


@settings(max_examples=1000)
@given(st.sampled_from(SCHEMES), st.data(), st.one_of(values, anything), st.integers(0, 9))
def test_any_value_in_a_signed_message_verifies_or_is_rejected(
    scheme: Scheme, data: st.DataObject, value: str, which: int
) -> None:
    whole = signed(scheme, data.draw(honest(scheme)))
    lines = list(whole.headers)
    place = -1 - which % len(lines)
    lines[place] = (lines[place][0], value)
    other = replace(whole, headers=tuple(lines)) if which < 8 else replace(whole, target=value, method=value)
    try:
        verified = verify(other, scheme, KEYS, now=NOW)
    except Rejected:
        return
    assert verified.message_id is None or verified.message_id_error == ""


@given(st.binary(max_size=100))
def test_any_signed_body_has_an_id_or_a_reason(body: bytes) -> None:
    stripe = PRESETS["stripe"]
    message = Message("POST", "/", (), body)
    whole = replace(message, headers=sign(message, stripe, SECRET, now=NOW))
    verified = verify(whole, stripe, KEYS, now=NOW)
    assert (verified.message_id is None) == (verified.message_id_error != "")
