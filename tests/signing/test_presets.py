import hmac
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Message,
    Scheme,
    SchemeError,
    Secret,
    make_parameters,
    preset,
    sign,
    signature_base,
    signed_message,
    verify,
)

FOLDER = Path(__file__).parent / "vectors"
FILES = {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in PRESETS}
VECTORS = [
    pytest.param(file["preset"], vector, id=f"{name}: {vector['name']}")
    for name, file in FILES.items()
    for vector in file["vectors"]
]


def message_of(vector: dict[str, Any]) -> Message:
    headers = tuple((name, value) for name, value in vector["headers"])
    return Message(vector["method"], vector["target"], headers, vector["body"].encode(), vector.get("origin", ""))


def scheme_of(name: str, vector: dict[str, Any]) -> Scheme:
    """The preset; a few published vectors need other values in some of its fields."""
    changes = vector.get("changes", {})
    return preset(name, **{field: tuple(to) if isinstance(to, list) else to for field, to in changes.items()})


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_every_vector_is_reproduced_from_declaration_to_header(name: str, vector: dict[str, Any]) -> None:
    scheme = scheme_of(name, vector)
    secret = scheme.decode_secret(vector["secret"].encode(), key_id=vector["key_id"], allow_short=True)
    message = message_of(vector)
    nonce = vector.get("nonce")
    parameters = make_parameters(scheme, now=vector["now"], nonce=nonce, key_id=vector["key_id"], message=message)
    assert signature_base(message, scheme, parameters) == vector["signature_base"].encode()
    sent = signed_message(message, scheme, secret, now=vector["now"], nonce=nonce)
    assert [list(header) for header in sent.headers[len(message.headers) :]] == vector["signed_headers"]
    assert sent.body.decode() == vector.get("signed_body", vector["body"])
    verified = verify(sent, scheme, KeyRing.of(secret), now=vector["now"])
    assert verified.message_id == vector["message_id"]


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_every_vector_is_what_plain_hmac_says(name: str, vector: dict[str, Any]) -> None:
    """Our code takes no part in this: the vectors hold by themselves."""
    octets = bytes.fromhex(vector["hmac_key_hex"]) if "hmac_key_hex" in vector else vector["secret"].encode()
    digest = hmac.new(octets, vector["signature_base"].encode(), PRESETS[name].hash).digest()
    sent = json.dumps(vector["signed_headers"][-1:]) + vector.get("signed_body", "")
    assert digest.hex() in sent or b64encode(digest).decode() in sent


# The signatures that a provider or an RFC has published, or its own library tests itself with, as far as we know them.
PUBLISHED = {
    "github": "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    "slack": "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    "standard-webhooks": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "svix": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "twilio": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    "rfc9421-hmac-sha256": "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    "adyen": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=",
    "dropbox": "0a8c16b085420b960dc78664279fe09e936a2a01b1f91064869d9e77dfd64529",
    "zendesk": "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw=",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_signature_is_among_the_vectors_that_are_reproduced(name: str) -> None:
    carried = [
        json.dumps(vector["signed_headers"]) + vector.get("signed_body", "") for vector in FILES[name]["vectors"]
    ]
    assert any(PUBLISHED[name] in text for text in carried)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_vectors_with_their_source(name: str) -> None:
    assert FILES[name]["preset"] == name
    assert FILES[name]["source"]
    assert FILES[name]["vectors"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_what_a_user_has_to_know(name: str) -> None:
    scheme = PRESETS[name]
    assert scheme.name == name
    assert scheme.summary.endswith(".")
    assert scheme.source
    assert scheme.not_covered.endswith(".")
    assert scheme.covered_components
    assert scheme.unconfirmed == "" or scheme.unconfirmed.endswith(".")


def test_sha1_is_used_only_where_the_sender_has_nothing_else() -> None:
    assert {name for name, scheme in PRESETS.items() if scheme.hash == "sha1"} == {
        "github-sha1",
        "intercom",
        "twilio",
        "twilio-json",
    }
    assert {scheme.hash for scheme in PRESETS.values()} == {"sha1", "sha256"}


def test_no_preset_takes_an_unsigned_delivery_id_for_its_message_id() -> None:
    for scheme in PRESETS.values():
        assert scheme.id_header is None or not scheme.covers("id")
        if scheme.message_id is not None:
            assert scheme.message_id.header != scheme.id_header or scheme.id_header is None


MESSAGE_IDS = {
    "intercom": "/id in the body",
    "typeform": "/event_id in the body",
    "coinbase-commerce": "/event/id in the body",
    "stripe": "/id in the body",
    "standard-webhooks": "header webhook-id",
    "svix": "header svix-id",
    "paddle": "/event_id in the body",
    "square": "/event_id in the body",
    "razorpay-checkout": "/razorpay_payment_id in the body",
    "tocsin-v1": "header Idempotency-Key",
}
HORIZONS_H = {
    "github": 168,
    "github-sha1": 168,
    "shopify": 48,
    "razorpay": 24,
    "coinbase-commerce": 72,
    "linear": 8,
    "meta": 168,
    "stripe": 720,
    "slack": 25,
    "standard-webhooks": 96,
    "svix": 2160,
    "paddle": 72,
    "zoom": 2,
    "calendly": 24,
    "square": 24,
    "hubspot-v3": 24,
    "mailgun": 8,
    "tocsin-v1": 168,
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_its_message_id_and_for_how_long_its_sender_sends_again(name: str) -> None:
    scheme = PRESETS[name]
    assert str(scheme.message_id) == MESSAGE_IDS.get(name, "None")
    horizon_h = HORIZONS_H.get(name)
    assert scheme.retry_horizon_s == (None if horizon_h is None else horizon_h * 3600)


def test_header_and_prefix_of_the_plain_scheme_can_be_chosen() -> None:
    scheme = preset("hex-sha256-body", header="X-Hub", value="sha256={signature}")
    secret = Secret(b"It's a Secret to Everybody")
    ((name, value),) = sign(Message("POST", "/", (), b"Hello, World!"), scheme, secret, now=0)
    assert name == "X-Hub"
    assert value == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_an_unknown_preset_names_the_nearest_known_one() -> None:
    with pytest.raises(SchemeError, match=r"unknown preset 'tocsin-v2'; did you mean 'tocsin-v1'\?"):
        preset("tocsin-v2")
    with pytest.raises(SchemeError, match="known: adyen, adyen-body, aws-sigv4"):
        preset("zzz")


def test_an_unknown_change_names_the_nearest_known_field() -> None:
    with pytest.raises(SchemeError, match=r"unknown field of a scheme 'headr'; did you mean 'header'\?"):
        preset("github", headr="X")
    with pytest.raises(SchemeError, match="unknown field of a scheme 'compiled'"):
        preset("github", compiled=None)


def test_the_table_of_presets_does_not_change() -> None:
    with pytest.raises(TypeError):
        PRESETS["github"] = PRESETS["stripe"]  # type: ignore[index]
