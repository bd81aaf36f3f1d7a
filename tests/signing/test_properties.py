"""What holds for every message, every preset and some schemes of other shapes."""

from dataclasses import replace
from typing import Any

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
    verify,
)

SECRET = Secret(b"0123456789abcdef", "k1")
KEYS = KeyRing.of(SECRET, Secret(b"fedcba9876543210", "k2"))
NOW = 1_700_000_000
SHAPES = (
    Scheme(name="url", content="{method}{url}{body}{timestamp}", timestamp_header="X-Time", timestamp_format="unix_ms"),
    Scheme(
        name="list",
        content="{header:webhook-id}.{timestamp}.{body}",
        encoding="base64",
        header="webhook-signature",
        value="v1,{signature}",
        item_separator=" ",
        timestamp_header="webhook-timestamp",
        message_id=MessageId(header="webhook-id"),
    ),
    Scheme(
        name="nonce",
        content="{timestamp}:{nonce}:{key_id}:{path}:{query}:{body}",
        encoding="base64url",
        hash="sha512",
        value="k={key_id};n={nonce};s={signature}.",
        timestamp_header="X-Time",
        timestamp_format="iso8601",
    ),
)
FIELDS = {"method", "target", "public_origin"}
SCHEMES = (*PRESETS.values(), *SHAPES)

schemes = st.sampled_from(SCHEMES)
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
octets = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0"), max_size=20)
ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
honest = st.builds(
    lambda method, path, query, event, identifier, body: Message(
        method,
        f"/{path}?{query}" if query else f"/{path}",
        (("Host", "a"), ("Idempotency-Key", identifier), ("webhook-id", identifier), ("X-Event", event)),
        body,
        "https://api.example.com",
    ),
    st.sampled_from(["POST", "PUT", "DELETE"]),
    visible.map(lambda text: text.replace("?", "")),
    visible,
    octets,
    ids,
    st.binary(max_size=200),
)


def signed(scheme: Scheme, message: Message) -> Message:
    headers = sign(message, scheme, SECRET, now=NOW, nonce="n-1")
    return replace(message, headers=message.headers + headers)


@given(schemes, honest)
def test_what_is_signed_verifies(scheme: Scheme, message: Message) -> None:
    verified = verify(signed(scheme, message), scheme, KEYS, now=NOW)
    assert verified.key_id == "k1"
    assert (verified.message_id is None) == (scheme.message_id is None or verified.message_id_error != "")


@settings(max_examples=500)
@given(schemes, honest, st.data())
def test_one_byte_changed_in_any_covered_part_is_rejected(
    scheme: Scheme, message: Message, data: st.DataObject
) -> None:
    whole = signed(scheme, message)
    part = data.draw(st.sampled_from(sorted(parts_that_count(scheme))))
    # A list may hold junk, so that one more separator in it is no change: there, a byte is replaced and none added.
    only_replace = scheme.item_separator is not None and part == scheme.header
    changed = change(whole, part, data, only_replace=only_replace)
    assume(changed != whole)
    with pytest.raises(Rejected):
        verify(changed, scheme, KEYS, now=NOW)


def parts_that_count(scheme: Scheme) -> set[str]:
    """The fields of Message under the signature, and the headers under it or with it."""
    fields = {"method": "method", "path": "target", "query": "target", "body": "body", "url": "public_origin"}
    covered = {field for component, field in fields.items() if scheme.covers(component)}
    return covered | {*scheme.covered_headers, *scheme.written_headers}


def change(message: Message, part: str, data: st.DataObject, *, only_replace: bool) -> Message:
    if part == "body":
        return replace(message, body=bytes(edited(list(message.body), data, only_replace=only_replace)))
    text: str = getattr(message, part) if part in FIELDS else message.values(part)[0]
    new = "".join(map(chr, edited([ord(character) for character in text], data, only_replace=only_replace)))
    if part in FIELDS:
        fields: dict[str, Any] = {part: new}
        return replace(message, **fields)
    return replace(message, headers=tuple((name, new if name == part else old) for name, old in message.headers))


def edited(codes: list[int], data: st.DataObject, *, only_replace: bool) -> list[int]:
    """One code replaced, put in or taken out."""
    where = data.draw(st.integers(0, max(0, len(codes) - 1)))
    new = data.draw(st.integers(0, 255))
    kind = "replace" if only_replace else data.draw(st.sampled_from(["replace", "put in", "take out"]))
    middle = [] if kind == "take out" else [new]
    return [*codes[:where], *middle, *codes[where + (kind != "put in") :]]


anything = st.text(max_size=40)
fragments = st.sampled_from(
    ["t=1700000000", "v1=", "k=k1", ",", ";", "sha256=", "0" * 64, "a" * 64, "1700000000", "n=", "s=", "v1,", " ", '"']
)
odd_values = st.lists(st.one_of(fragments, anything), max_size=6).map("".join)
values = st.one_of(anything, odd_values, st.just("v1=0," * 2000))
known_names = sorted({name for scheme in SCHEMES for name in (*scheme.written_headers, *scheme.covered_headers)})
names = st.one_of(st.sampled_from(known_names), anything)
headers = st.lists(st.tuples(names, values), max_size=8).map(tuple)
any_message = st.builds(Message, anything, anything, headers, st.binary(max_size=60), anything)


@settings(max_examples=500)
@given(schemes, any_message, st.floats())
def test_any_message_at_any_time_verifies_or_is_rejected(scheme: Scheme, message: Message, now: float) -> None:
    """Lone surrogates, NUL, non-latin-1, empty and huge values: nothing but a kind of Rejected comes out."""
    try:
        verify(message, scheme, KEYS, now=now)
    except Rejected as rejected:
        reason = str(rejected)
        event(rejected.kind)
        if not reason.isprintable():
            raise AssertionError(f"a log line would break: {reason!r}") from None


@settings(max_examples=500)
@given(schemes, honest, values, st.integers(0, 7))
def test_any_value_in_a_signed_message_verifies_or_is_rejected(
    scheme: Scheme, message: Message, value: str, which: int
) -> None:
    headers = list(signed(scheme, message).headers)
    place = -1 - which % len(headers)
    headers[place] = (headers[place][0], value)
    try:
        verified = verify(replace(message, headers=tuple(headers)), scheme, KEYS, now=NOW)
    except Rejected:
        return
    assert verified.message_id is None or verified.message_id_error == ""


@given(st.binary(max_size=100))
def test_any_signed_body_has_an_id_or_a_reason(body: bytes) -> None:
    stripe = PRESETS["stripe"]
    verified = verify(signed(stripe, Message("POST", "/", (), body)), stripe, KEYS, now=NOW)
    assert (verified.message_id is None) == (verified.message_id_error != "")
