"""What we sign they verify, what they sign we verify: over generated messages, with the packages of the providers.

Where a package only verifies, the other direction is that it refuses what we refuse.
"""

import datetime as dt
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.signing import PRESETS, KeyRing, Message, Rejected, Scheme, signed_message, verify

Oracle: TypeAlias = Callable[[str], ModuleType]

ORIGIN = "https://api.example.com"
PLAIN = "correct-horse-battery-staple"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADYEN_HEX = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
KEY_ID = "key-1"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.text("abcXYZ019-_", min_size=1, max_size=12)
json_bodies = st.dictionaries(text, st.one_of(text, st.integers(), st.none()), max_size=4).map(
    lambda document: json.dumps(document, ensure_ascii=False).encode()
)
full_json_bodies = json_bodies.filter(lambda body: body != b"{}")
targets = st.builds(
    lambda path, query: f"/{path}" + (f"?{urlencode(query)}" if query else ""),
    words,
    st.lists(st.tuples(words, words), max_size=3),
)
texts_without_colon = st.text("abcXYZ019-_ \u00e9", min_size=1, max_size=12)
adyen_bodies = st.builds(
    lambda reference, account, own, value: json.dumps(
        {
            "live": "false",
            "notificationItems": [
                {
                    "NotificationRequestItem": {
                        "pspReference": reference,
                        "merchantAccountCode": account,
                        "merchantReference": own,
                        "amount": {"value": value, "currency": "EUR"},
                        "eventCode": "CAPTURE",
                        "success": "true",
                        "additionalData": {},
                    }
                }
            ],
        }
    ).encode(),
    words,
    texts_without_colon,
    texts_without_colon,
    st.integers(0, 10**9),
)
forms = st.dictionaries(words, text, max_size=5).map(lambda form: urlencode(form).encode())
checkout_forms = st.tuples(words, words).map(
    lambda ids: urlencode({"razorpay_order_id": ids[0], "razorpay_payment_id": ids[1]}).encode()
)


def header(message: Message, name: str) -> str:
    return message.values(name)[0]


def with_headers(message: Message, *headers: tuple[str, str]) -> Message:
    return replace(message, headers=message.headers + headers)


def url(message: Message) -> str:
    return message.public_origin + message.target


@dataclass(frozen=True)
class Peer:
    """One package, as signer and verifier of one preset.

    `verifies` raises or returns false for what it refuses; `signs` is None where the package only verifies.
    """

    preset: str
    module: str
    verifies: Callable[[Any, Message], object]
    signs: Callable[[Any, Message, int], Message] | None = None
    bodies: st.SearchStrategy[bytes] = json_bodies
    secret: str = PLAIN
    digest_in_url: bool = False

    @property
    def scheme(self) -> Scheme:
        return PRESETS[self.preset]

    @property
    def keys(self) -> KeyRing:
        return KeyRing.of(self.scheme.decode_secret(self.secret.encode(), key_id=KEY_ID))


def stripe_verifies(stripe: Any, message: Message) -> object:
    return stripe.WebhookSignature.verify_header(message.body.decode(), header(message, "Stripe-Signature"), PLAIN, 300)


def stripe_signs(stripe: Any, message: Message, now: int) -> Message:
    signature = stripe.WebhookSignature._compute_signature(f"{now}.{message.body.decode()}", PLAIN)
    return with_headers(message, ("Stripe-Signature", f"t={now},v1={signature}"))


def webhook_verifies(prefix: str) -> Callable[[Any, Message], object]:
    def verifies(module: Any, message: Message) -> object:
        headers = {name: value for name, value in message.headers if name.startswith(prefix)}
        module.Webhook(WHSEC).verify(message.body, headers)
        return True

    return verifies


def webhook_signs(prefix: str) -> Callable[[Any, Message, int], Message]:
    def signs(module: Any, message: Message, now: int) -> Message:
        at = dt.datetime.fromtimestamp(now, dt.UTC)
        identifier = header(message, f"{prefix}-id")
        signature = module.Webhook(WHSEC).sign(identifier, at, message.body.decode())
        return with_headers(message, (f"{prefix}-timestamp", str(now)), (f"{prefix}-signature", signature))

    return signs


def slack_verifies(signature: Any, message: Message) -> object:
    return signature.SignatureVerifier(PLAIN).is_valid_request(message.body, dict(message.headers))


def slack_signs(signature: Any, message: Message, now: int) -> Message:
    made = signature.SignatureVerifier(PLAIN).generate_signature(timestamp=str(now), body=message.body)
    return with_headers(message, ("X-Slack-Request-Timestamp", str(now)), ("X-Slack-Signature", made))


def form_of(message: Message) -> dict[str, str]:
    return dict(parse_qsl(message.body.decode(), keep_blank_values=True))


def twilio_verifies(validator: Any, message: Message) -> object:
    signature = header(message, "X-Twilio-Signature")
    return validator.RequestValidator(PLAIN).validate(url(message), form_of(message), signature)


def twilio_signs(validator: Any, message: Message, _now: int) -> Message:
    made = validator.RequestValidator(PLAIN).compute_signature(url(message), form_of(message))
    return with_headers(message, ("X-Twilio-Signature", made))


def twilio_json_verifies(validator: Any, message: Message) -> object:
    signature = header(message, "X-Twilio-Signature")
    return validator.RequestValidator(PLAIN).validate(url(message), message.body.decode(), signature)


def twilio_json_signs(validator: Any, message: Message, _now: int) -> Message:
    made = validator.RequestValidator(PLAIN).compute_signature(url(message), {})
    return with_headers(message, ("X-Twilio-Signature", made))


def square_verifies(helper: Any, message: Message) -> object:
    return helper.verify_signature(
        request_body=message.body.decode(),
        signature_header=header(message, "x-square-hmacsha256-signature"),
        signature_key=PLAIN,
        notification_url=url(message),
    )


def adyen_verifies(util: Any, message: Message) -> object:
    return util.is_valid_hmac_notification(json.loads(message.body), ADYEN_HEX)


def adyen_signs(util: Any, message: Message, _now: int) -> Message:
    document = json.loads(message.body)
    item = document["notificationItems"][0]["NotificationRequestItem"]
    item["additionalData"]["hmacSignature"] = util.generate_notification_sig(item, ADYEN_HEX).decode()
    return replace(message, body=json.dumps(document, indent=1).encode())


def adyen_body_verifies(util: Any, message: Message) -> object:
    return util.is_valid_hmac_payload(header(message, "HmacSignature"), ADYEN_HEX, message.body)


def adyen_body_signs(util: Any, message: Message, _now: int) -> Message:
    return with_headers(message, ("HmacSignature", util.generate_payload_sig(message.body, ADYEN_HEX).decode()))


def hubspot_verifies(signature: Any, message: Message) -> object:
    return signature.Signature.is_valid(
        signature=header(message, "X-HubSpot-Signature-v3"),
        client_secret=PLAIN,
        request_body=message.body.decode(),
        http_uri=url(message),
        http_method=message.method,
        signature_version="v3",
        timestamp=header(message, "X-HubSpot-Request-Timestamp"),
    )


def hubspot_signs(signature: Any, message: Message, now: int) -> Message:
    at = str(now * 1000)
    made = signature.Signature.get_signature(PLAIN, message.body.decode(), "v3", url(message), message.method, at)
    return with_headers(message, ("X-HubSpot-Signature-v3", made), ("X-HubSpot-Request-Timestamp", at))


def razorpay_verifies(razorpay: Any, message: Message) -> object:
    utility = razorpay.Client(auth=("id", PLAIN)).utility
    return utility.verify_webhook_signature(message.body.decode(), header(message, "X-Razorpay-Signature"), PLAIN)


def checkout_verifies(razorpay: Any, message: Message) -> object:
    return razorpay.Client(auth=("id", PLAIN)).utility.verify_payment_signature(form_of(message))


def paddle_verifies(notifications: Any, message: Message) -> object:
    request = SimpleNamespace(body=message.body, headers=dict(message.headers))
    return notifications.Verifier().verify(request, notifications.Secret(PLAIN))


def paddle_signs(notifications: Any, message: Message, now: int) -> Message:
    made = notifications.PaddleSignature.calculate_hmac(PLAIN, b"%d:" % now + message.body).hexdigest()
    return with_headers(message, ("Paddle-Signature", f"ts={now};h1={made}"))


def line_verifies(webhook: Any, message: Message) -> object:
    return webhook.SignatureValidator(PLAIN).validate(message.body.decode(), header(message, "X-Line-Signature"))


def mailgun_verifies(security: Any, message: Message) -> object:
    signed = json.loads(message.body)["signature"]
    return security.SecurityGuard.verify_webhook(PLAIN, signed["token"], signed["timestamp"], signed["signature"])


def gidgethub_verifies(name: str) -> Callable[[Any, Message], object]:
    def verifies(sansio: Any, message: Message) -> object:
        sansio.validate_event(message.body, signature=header(message, name), secret=PLAIN)
        return True

    return verifies


def credentials(_key_id: str = KEY_ID) -> dict[str, str]:
    return {"id": KEY_ID, "key": PLAIN, "algorithm": "sha256"}


def hawk_verifies(mohawk: Any, message: Message) -> object:
    mohawk.Receiver(
        credentials,
        header(message, "Authorization"),
        url(message),
        message.method,
        content=message.body,
        content_type=header(message, "Content-Type"),
    )
    return True


def hawk_signs(mohawk: Any, message: Message, now: int) -> Message:
    sender = mohawk.Sender(
        credentials(),
        url(message),
        message.method,
        content=message.body,
        content_type=header(message, "Content-Type"),
        _timestamp=now,
    )
    return with_headers(message, ("Authorization", sender.request_header))


def aws_request(botocore: ModuleType, message: Message, at: str) -> tuple[Any, Any]:
    keys = import_module("botocore.credentials").Credentials(KEY_ID, PLAIN)
    auth = botocore.SigV4Auth(keys, "execute-api", "us-east-1")
    request = import_module("botocore.awsrequest").AWSRequest(
        message.method, url(message), {"Content-Type": "text/plain", "X-Amz-Date": at}, message.body
    )
    request.context["timestamp"] = at
    return auth, request


def aws_verifies(botocore: Any, message: Message) -> object:
    """botocore only signs: it has to come to the same signature over the headers that we have listed."""
    auth, request = aws_request(botocore, message, header(message, "X-Amz-Date"))
    given = header(message, "Authorization")
    if "content-type" not in given:
        del request.headers["Content-Type"]
    made = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return given.endswith(f"Signature={made}")


def aws_signs(botocore: Any, message: Message, now: int) -> Message:
    at = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    auth, request = aws_request(botocore, message, at)
    made = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    auth._inject_signature_to_request(request, made)
    return with_headers(message, ("X-Amz-Date", at), ("Authorization", request.headers["Authorization"]))


def http_request(message: Message) -> Any:
    headers = {name: value for name, value in message.headers if name != "Host"}
    return SimpleNamespace(method=message.method, url=url(message), headers=headers)


def http_tool(signatures: Any, kind: str) -> Any:
    key = SimpleNamespace(
        resolve_public_key=lambda _key_id: PLAIN.encode(), resolve_private_key=lambda _key_id: PLAIN.encode()
    )
    algorithm = signatures.algorithms.HMAC_SHA256
    return getattr(signatures, kind)(signature_algorithm=algorithm, key_resolver=key)


def http_verifies(signatures: Any, message: Message) -> object:
    wanted = ("@method", "@target-uri", "content-digest")
    verifier = http_tool(signatures, "HTTPMessageVerifier")
    return verifier.verify(http_request(message), require_components=wanted, body=message.body)


def http_signs(signatures: Any, message: Message, now: int) -> Message:
    request = http_request(message)
    http_tool(signatures, "HTTPMessageSigner").sign(
        request,
        key_id=KEY_ID,
        created=dt.datetime.fromtimestamp(now, dt.UTC),
        covered_component_ids=("@method", "@authority", "@target-uri", "content-type"),
        body=message.body,
    )
    return replace(message, headers=tuple(request.headers.items()))


PEERS = (
    Peer("stripe", "stripe", stripe_verifies, stripe_signs),
    Peer("standard-webhooks", "standardwebhooks", webhook_verifies("webhook"), webhook_signs("webhook"), secret=WHSEC),
    Peer("svix", "svix.webhooks", webhook_verifies("svix"), webhook_signs("svix"), secret=WHSEC),
    Peer("slack", "slack_sdk.signature", slack_verifies, slack_signs),
    Peer("twilio", "twilio.request_validator", twilio_verifies, twilio_signs, forms),
    Peer("twilio-json", "twilio.request_validator", twilio_json_verifies, twilio_json_signs, digest_in_url=True),
    Peer("square", "square.utils.webhooks_helper", square_verifies),
    Peer("adyen", "Adyen.util", adyen_verifies, adyen_signs, adyen_bodies, secret=ADYEN_HEX),
    Peer("adyen-body", "Adyen.util", adyen_body_verifies, adyen_body_signs, secret=ADYEN_HEX),
    Peer("hubspot-v3", "hubspot.utils.signature", hubspot_verifies, hubspot_signs),
    Peer("razorpay", "razorpay", razorpay_verifies),
    Peer("razorpay-checkout", "razorpay", checkout_verifies, bodies=checkout_forms),
    Peer("paddle", "paddle_billing.Notifications", paddle_verifies, paddle_signs),
    Peer("line", "linebot.v3.webhook", line_verifies),
    Peer("mailgun", "mailgun.security", mailgun_verifies, bodies=st.just(b'{"signature":{},"event-data":{}}')),
    Peer("github", "gidgethub.sansio", gidgethub_verifies("X-Hub-Signature-256")),
    Peer("github-sha1", "gidgethub.sansio", gidgethub_verifies("X-Hub-Signature")),
    Peer("hawk", "mohawk", hawk_verifies, hawk_signs, full_json_bodies),
    Peer("aws-sigv4", "botocore.auth", aws_verifies, aws_signs),
    Peer("rfc9421-hmac-sha256", "http_message_signatures", http_verifies, http_signs),
)


def draw_message(peer: Peer, data: st.DataObject) -> Message:
    body = data.draw(peer.bodies)
    target = data.draw(targets)
    if peer.digest_in_url:
        target += ("&" if "?" in target else "?") + f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    identifier = data.draw(words)
    headers = (("webhook-id", identifier), ("svix-id", identifier), ("Content-Type", "text/plain"))
    return Message("POST", target, headers, body, ORIGIN)


def accepts(peer: Peer, module: ModuleType, message: Message) -> bool:
    """These packages refuse by false, by None, by their own exceptions and by those of Python."""
    try:
        return bool(peer.verifies(module, message))
    except Exception:  # noqa: BLE001  whatever it is, it is no acceptance
        return False


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.preset)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_what_we_sign_they_verify_and_not_under_another_secret(peer: Peer, data: st.DataObject, oracle: Oracle) -> None:
    module = oracle(peer.module)
    message = draw_message(peer, data)
    now = int(time.time())
    ours = signed_message(message, peer.scheme, peer.keys.entries[0].secret, now=now, nonce="nonce-1")
    assert accepts(peer, module, ours)
    if peer.secret == PLAIN:
        other = peer.scheme.decode_secret(PLAIN.swapcase().encode(), key_id=KEY_ID)
        assert not accepts(peer, module, signed_message(message, peer.scheme, other, now=now, nonce="nonce-1"))


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.signs], ids=lambda peer: peer.preset)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_what_they_sign_we_verify(peer: Peer, data: st.DataObject, oracle: Oracle) -> None:
    module = oracle(peer.module)
    now = int(time.time())
    assert peer.signs is not None
    theirs = peer.signs(module, draw_message(peer, data), now)
    verified = verify(theirs, peer.scheme, peer.keys, now=now)
    assert verified.timestamp_unix == (now if peer.scheme.has_timestamp else None)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.preset)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_they_refuse_another_body_as_we_do(peer: Peer, data: st.DataObject, oracle: Oracle) -> None:
    module = oracle(peer.module)
    now = int(time.time())
    ours = signed_message(draw_message(peer, data), peer.scheme, peer.keys.entries[0].secret, now=now, nonce="nonce-1")
    other = replace(ours, body=another_body(peer, ours.body))
    assert not accepts(peer, module, other)
    with pytest.raises(Rejected):
        verify(other, peer.scheme, peer.keys, now=now)


def another_body(peer: Peer, body: bytes) -> bytes:
    """A body in which what is signed is changed."""
    if peer.preset == "adyen":
        return body.replace(b"CAPTURE", b"REFUNDS")
    if peer.preset == "mailgun":
        return body.replace(b"nonce-1", b"nonce-2")
    if peer.preset == "razorpay-checkout":
        return body.replace(b"razorpay_order_id=", b"razorpay_order_id=x")
    return body + b"&added=1" if peer.preset == "twilio" and body else body + (b"added=1" if not body else b" ")
