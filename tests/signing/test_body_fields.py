import json
from dataclasses import replace
from typing import Any

import pytest

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Malformed,
    Message,
    MessageId,
    Scheme,
    SchemeError,
    Secret,
    attach,
    make_parameters,
    preset,
    sign,
    signed_message,
    verify,
)

SECRET = Secret(b"0123456789abcdef")
KEYS = KeyRing.of(SECRET)
NOW = 1_700_000_000
MAILGUN = PRESETS["mailgun"]
CHECKOUT = PRESETS["razorpay-checkout"]


def message(body: bytes) -> Message:
    return Message("POST", "/", (), body)


def verified_body(scheme: Scheme, body: bytes) -> None:
    verify(message(body), scheme, KEYS, now=NOW)


def test_a_signature_in_the_body_is_put_beside_what_it_signs() -> None:
    sent = signed_message(message(b'{"signature":{},"n":1.5}'), MAILGUN, SECRET, now=NOW, nonce="t")
    document = json.loads(sent.body)
    assert document["signature"].keys() == {"timestamp", "token", "signature"}
    assert (document["signature"]["timestamp"], document["n"], sent.headers) == ("1700000000", 1.5, ())
    assert verify(sent, MAILGUN, KEYS, now=NOW).nonce == "t"
    assert MAILGUN.signature_place == "/signature/signature in the body"
    assert MAILGUN.written_headers == ()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"signature":1}', b'{"other":{}}'])
def test_a_body_without_room_for_the_signature_cannot_be_signed(body: bytes) -> None:
    with pytest.raises(SchemeError, match="the message cannot be signed"):
        signed_message(message(body), MAILGUN, SECRET, now=NOW, nonce="t")


def test_headers_alone_cannot_carry_a_signature_that_stands_in_the_body() -> None:
    with pytest.raises(SchemeError, match=r"mailgun carries its signature in the body; wanted signed_message\(\)"):
        sign(message(b'{"signature":{}}'), MAILGUN, SECRET, now=NOW, nonce="t")
    with pytest.raises(SchemeError, match="in the body"):
        attach(MAILGUN, "x", make_parameters(MAILGUN, now=NOW, nonce="t"))


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ({}, "is not there"),
        ({"timestamp": "1700000000", "token": "t"}, "is not there"),
        ({"timestamp": "1700000000", "token": "t", "signature": None}, "is null; wanted a string"),
        ({"timestamp": 1.5, "token": "t", "signature": "x"}, "is a number; wanted a string"),
        ({"timestamp": "1700000000", "token": "", "signature": "x"}, "has 0 bytes"),
        ({"timestamp": "1700000000", "token": "t", "signature": "\u00e9" * 64}, "holds no signature of 64 characters"),
        ({"timestamp": "1700000000", "token": "a b", "signature": "0" * 64}, "the nonce is not"),
        ([], "leads through a list of 0"),
        (7, "has no members"),
    ],
)
def test_a_signature_that_cannot_be_read_from_the_body_is_malformed(signature: Any, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        verified_body(MAILGUN, json.dumps({"signature": signature}).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 100_000])
def test_a_body_that_is_no_strict_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="the body cannot be read"):
        verified_body(MAILGUN, body)


def test_a_form_that_gives_a_signed_field_twice_is_malformed() -> None:
    sent = signed_message(message(b"razorpay_order_id=o&razorpay_payment_id=p"), CHECKOUT, SECRET, now=NOW)
    assert verify(sent, CHECKOUT, KEYS, now=NOW).message_id == "p"
    with pytest.raises(Malformed, match="gives a field twice"):
        verified_body(CHECKOUT, sent.body + b"&razorpay_payment_id=q")


def test_an_optional_field_is_empty_text_where_it_is_not_there() -> None:
    scheme = Scheme(name="x", content="{optional_field:/a}|{field:/b}", signature_pointer="/s")
    absent = json.loads(signed_message(message(b'{"b":"1"}'), scheme, SECRET, now=NOW).body)
    for document in (absent, {**absent, "a": ""}):
        verified_body(scheme, json.dumps(document).encode())
    odd: tuple[object, ...] = (None, [], 1.5, True)
    for value in odd:
        with pytest.raises(Malformed, match="has no usable signed field"):
            verified_body(scheme, json.dumps({**absent, "a": value}).encode())


def test_a_field_may_be_an_integer_and_stays_one_when_signing_writes_it() -> None:
    linear = PRESETS["linear"]
    sent = signed_message(message(b'{"webhookTimestamp":0}'), linear, SECRET, now=NOW)
    assert sent.body == b'{"webhookTimestamp":1700000000000}'
    assert verify(sent, linear, KEYS, now=NOW).timestamp_unix == NOW
    headers = sign(message(b'{"webhookTimestamp":1700000030000}'), linear, SECRET, now=NOW)
    late = Message("POST", "/", headers, b'{"webhookTimestamp":1700000030000}')
    assert verify(late, linear, KEYS, now=NOW).timestamp_unix == NOW + 30


def test_a_body_that_lacks_its_timestamp_is_not_signed() -> None:
    with pytest.raises(SchemeError, match="cannot be read back: the body has no signed field"):
        sign(message(b"{}"), PRESETS["linear"], SECRET, now=NOW)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"content": "{field:a}"}, "{field:a} names no pointer; wanted such as {field:/order/id}"),
        ({"content": "{field}"}, "unknown placeholder 'field'"),
        ({"body_format": "xml"}, "unknown body_format 'xml'"),
        ({"signature_pointer": "a"}, "wanted RFC 6901"),
        ({"content": "{timestamp}", "value": "{timestamp},{signature}", "timestamp_pointer": "/t"}, "two of value"),
        ({"content": "{field:/a}", "message_id": MessageId(pointer="/b")}, "does not cover the body"),
    ],
)
def test_a_wrong_declaration_of_fields_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        Scheme(name="wrong", **fields)


def test_pointers_have_a_case_and_header_names_have_none() -> None:
    scheme = Scheme(name="x", content="{field:/a}|{field:/A}|{header:X-A}", signature_pointer="/s")
    assert scheme.covers("field:/A")
    assert scheme.covers("header:x-a")
    assert not scheme.covers("field:/B")
    assert replace(scheme, message_id=MessageId(pointer="/a")).message_id is not None


def test_a_preset_can_sign_other_fields_of_its_form() -> None:
    link = preset(
        "razorpay-checkout",
        content="{field:/payment_link_id}|{field:/razorpay_payment_id}",
        message_id=MessageId(pointer="/razorpay_payment_id"),
    )
    body = b"payment_link_id=l&razorpay_payment_id=p"
    assert verify(signed_message(message(body), link, SECRET, now=NOW), link, KEYS, now=NOW).message_id == "p"
