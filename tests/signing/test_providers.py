"""What official SDKs accept and these presets do not, as named tests; test_broken_scheme_twins.py breaks them."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Malformed,
    Message,
    Rejected,
    Scheme,
    SchemeError,
    Secret,
    Verified,
    WrongDigest,
    signed_message,
)

Verifier: TypeAlias = Callable[..., Verified]

SECRET = Secret(b"0123456789abcdef")
KEYS = KeyRing.of(SECRET)
NOW = 1_700_000_000
ORIGIN = "https://api.example.com"
ADYEN = PRESETS["adyen"]
TWILIO = PRESETS["twilio"]
TWILIO_JSON = PRESETS["twilio-json"]
HUBSPOT = PRESETS["hubspot-v3"]
SQUARE = PRESETS["square"]
# The scheme that is bare, the one that has a shape, and one that has neither.
JOINED = (
    SQUARE,
    HUBSPOT,
    Scheme(name="joined", content="{url}{body}", value="t={timestamp},s={signature}", item_separator=","),
)


def adyen_item(**changes: object) -> dict[str, Any]:
    return {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "order-17",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "additionalData": {},
        **changes,
    }


def adyen_message(*items: dict[str, Any]) -> Message:
    document = {"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in items]}
    return Message("POST", "/", (), json.dumps(document).encode())


def signed_adyen(**changes: object) -> dict[str, Any]:
    sent = signed_message(adyen_message(adyen_item(**changes)), ADYEN, SECRET, now=NOW)
    item: dict[str, Any] = json.loads(sent.body)["notificationItems"][0]["NotificationRequestItem"]
    return item


def test_a_second_adyen_item_does_not_ride_along_unsigned(verify: Verifier) -> None:
    """Adyen's SDK looks at the first item only."""
    verify(adyen_message(signed_adyen()), ADYEN, KEYS, now=NOW)
    with pytest.raises(Malformed, match="leads through a list of 2; wanted one element"):
        verify(adyen_message(signed_adyen(), adyen_item(pspReference="forged")), ADYEN, KEYS, now=NOW)


def test_a_colon_cannot_move_between_two_adyen_fields(verify: Verifier) -> None:
    """Adyen joins its fields with colons and escapes none: two messages, one signature."""
    base = b"7914073381342284::A:B:C:1130:EUR:AUTHORISATION:true"
    signature = {"hmacSignature": b64encode(SECRET.keyed("sha256").digest([base])).decode()}
    for code, reference in (("A", "B:C"), ("A:B", "C")):
        item = adyen_item(merchantAccountCode=code, merchantReference=reference, additionalData=signature)
        with pytest.raises(Malformed, match="what separates it in the signed content"):
            verify(adyen_message(item), ADYEN, KEYS, now=NOW)
    with pytest.raises(SchemeError, match="what separates it"):
        signed_adyen(merchantReference="order:17")


def test_only_a_success_that_is_text_is_read() -> None:
    with pytest.raises(SchemeError, match="is a boolean; wanted a string or an integer"):
        signed_adyen(success=True)


def twilio_message(body: bytes) -> Message:
    return Message("POST", "/sms?x=1", (), body, ORIGIN)


@pytest.mark.parametrize("added", [b"&", b"&&", b"&x", b"&=x", b"&=", b"&x&y"])
def test_nothing_that_lenient_parsers_drop_can_be_added_to_a_form(verify: Verifier, added: bytes) -> None:
    whole = signed_message(twilio_message(b"a=1&b=2"), TWILIO, SECRET, now=NOW)
    verify(whole, TWILIO, KEYS, now=NOW)
    with pytest.raises(Rejected):
        verify(replace(whole, body=whole.body + added), TWILIO, KEYS, now=NOW)


@pytest.mark.parametrize("body", [b"a", b"{}", b"\xff=1", b"a=%FF"])
def test_a_body_that_is_no_form_is_malformed(verify: Verifier, body: bytes) -> None:
    whole = signed_message(twilio_message(b""), TWILIO, SECRET, now=NOW)
    with pytest.raises(Malformed, match="the body cannot be read"):
        verify(replace(whole, body=body), TWILIO, KEYS, now=NOW)


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_body_is_compared_with_the_digest_in_its_url(verify: Verifier) -> None:
    message = Message("POST", f"/hook?bodySHA256={EMPTY}", (), b"", ORIGIN)
    whole = signed_message(message, TWILIO_JSON, SECRET, now=NOW)
    verify(whole, TWILIO_JSON, KEYS, now=NOW)
    with pytest.raises(WrongDigest, match="bodySHA256 in the query is not the digest of the body"):
        verify(replace(whole, body=b"{}"), TWILIO_JSON, KEYS, now=NOW)


@pytest.mark.parametrize("query", ["", "?x=1", f"?bodySHA256={EMPTY}&bodySHA256={EMPTY}", "?bodysha256=1"])
def test_a_url_without_one_digest_is_neither_signed_nor_verified(verify: Verifier, query: str) -> None:
    message = Message("POST", f"/hook{query}", (), b"", ORIGIN)
    with pytest.raises(SchemeError, match=r"has bodySHA256 \d times; wanted once"):
        signed_message(message, TWILIO_JSON, SECRET, now=NOW)
    with pytest.raises(Rejected):
        verify(replace(message, headers=(("X-Twilio-Signature", "A" * 27 + "="),)), TWILIO_JSON, KEYS, now=NOW)


@pytest.mark.parametrize("target", ['/hook?a={"', "/hook\u00e9", "/a b", "/a\\b"])
def test_a_signed_url_has_only_the_characters_of_a_url(verify: Verifier, target: str) -> None:
    """So that no octet of a JSON object can move to the URL that stands right before it."""
    whole = signed_message(Message("POST", "/hook", (), b'{"id":1}', ORIGIN), HUBSPOT, SECRET, now=NOW)
    with pytest.raises(Malformed, match="a character that no URL has"):
        verify(replace(whole, target=target), HUBSPOT, KEYS, now=NOW)


@pytest.mark.parametrize("body", [b"", b'{"event_id":"e"}', b'[{"eventId":1}]', b' {"id":1}', b'"text"'])
@pytest.mark.parametrize("scheme", JOINED, ids=lambda scheme: scheme.name)
def test_nothing_can_move_between_a_signed_url_and_the_body_behind_it(
    verify: Verifier, scheme: Scheme, body: bytes
) -> None:
    """HubSpot's and Square's packages take objectId=33 with the body "1" under the signature of objectId=331."""
    message = Message("POST", "/crm?portalId=2&objectId=331", (), body, ORIGIN)
    whole = signed_message(message, scheme, SECRET, now=NOW)
    verify(whole, scheme, KEYS, now=NOW)
    octets = whole.target.encode() + body
    for end in range(len(octets) + 1):
        if end != len(whole.target):
            with pytest.raises(Malformed):
                verify(replace(whole, target=octets[:end].decode(), body=octets[end:]), scheme, KEYS, now=NOW)


@pytest.mark.parametrize(("target", "body"), [("/crm", b"a=1"), ("/crm", b"7"), ("/crm?a[]=1", b""), ("/crm[", b"{}")])
@pytest.mark.parametrize("scheme", JOINED, ids=lambda scheme: scheme.name)
def test_a_body_that_could_have_ended_the_url_before_it_is_not_signed(scheme: Scheme, target: str, body: bytes) -> None:
    with pytest.raises(SchemeError, match=r"the message cannot be signed: .* is signed right behind"):
        signed_message(Message("POST", target, (), body, ORIGIN), scheme, SECRET, now=NOW)


def test_a_body_that_stands_apart_from_the_url_begins_as_it_likes(verify: Verifier) -> None:
    for content in ("{url}\n{body}", "{body}{url}", "{method}{body}{url}"):
        apart = Scheme(name="apart", content=content)
        whole = signed_message(Message("POST", "/crm?a[]=1", (), b"a=1", ORIGIN), apart, SECRET, now=NOW)
        verify(whole, apart, KEYS, now=NOW)


@pytest.mark.parametrize(
    ("name", "secret"), [("standard-webhooks", b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), ("adyen", b"zz")]
)
def test_a_secret_that_is_not_as_its_provider_writes_it_is_refused(name: str, secret: bytes) -> None:
    with pytest.raises(SchemeError, match=r"does not begin with 'whsec_'|is not hex"):
        PRESETS[name].decode_secret(secret)
