"""The scheme, as far as the headers of a request tell."""

import base64
import hashlib

import pytest

from tests.inputs.documents import SIGNATURE
from tests.inputs.making import of_requests, post, understood
from tocsin.inputs._signature import looks_signed, suggested

B64 = base64.b64encode(bytes.fromhex(SIGNATURE)).decode()


@pytest.mark.parametrize(
    ("headers", "preset"),
    [
        ({"X-Signature": SIGNATURE}, "hex-sha256-body"),
        ({"X-Signature": B64}, "base64-sha256-body"),
        ({"X-Signature": SIGNATURE, "X-Timestamp": "1795313343"}, "hex-sha256-timestamp-body"),
        ({"X-Hub-Signature-256": f"sha256={SIGNATURE}"}, "github"),
        ({"Stripe-Signature": f"t=1795313343,v1={SIGNATURE}"}, "stripe"),
        ({"webhook-timestamp": "1795313343", "webhook-signature": f"v1,{B64}", "webhook-id": "m"}, "standard-webhooks"),
        ({"X-Shopify-Hmac-SHA256": ""}, "shopify"),
        ({"Authorization": 'Hawk id="a", ts="1", nonce="n", hash="h", mac="m"'}, "hawk"),
        ({"Authorization": "Bearer abc"}, "hex-sha256-body"),
        ({"Authorization": ""}, "hex-sha256-body"),
    ],
)
def test_a_known_header_of_the_right_form_suggests_its_preset(headers: dict[str, str], preset: str) -> None:
    assert suggested(headers).lines[0].startswith(f'preset = "{preset}"  # TODO')


def test_others_that_fit_as_well_are_named() -> None:
    assert suggested({"X-Hub-Signature-256": ""}).lines == (
        'preset = "github"  # TODO: by the names of its headers; right? (or: meta)',
    )


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ({"X-Acme-Sign": SIGNATURE.upper()}, ['encoding = "HEX"', 'content = "{body}"', 'value = "{signature}"']),
        (
            {"X-Acme-Sign": f"v1={hashlib.sha512().hexdigest()}", "X-Acme-Time": "1795313343000"},
            ['hash = "sha512"', 'content = "{timestamp}.{body}"', 'value = "v1={signature}"', 'format = "unix_ms"'],
        ),
        ({"X-Acme-Hmac": B64, "X-Ts": "2026-01-31T12:00:00Z"}, ['encoding = "base64"', 'timestamp_format = "iso8601"']),
        ({"X-Acme-Hmac": "v1=nobody knows", "X-Ts": "1795313343"}, ['hash = "sha256"', 'value = "{signature}"']),
    ],
)
def test_a_header_of_nobodys_is_described_and_asked_about(headers: dict[str, str], lines: list[str]) -> None:
    fields = {name.replace("-", "_"): value for name, value in headers.items()}
    made = of_requests([post('{"order_id":"o-1"}', **fields)])

    for line in lines:
        assert line in made
    assert 'docs/plan.md, "The scheme itself"' in made
    assert not any(value in made for value in headers.values())
    understood(made)


def test_a_signature_is_known_by_its_header_and_authorization_is_none() -> None:
    assert looks_signed(iter(["Accept", "X-Twilio-Signature"])) == "X-Twilio-Signature"
    assert looks_signed(iter(["HmacSignature"])) == "HmacSignature"
    assert looks_signed(iter(["Accept", "Authorization", "X-Design"])) == ""
