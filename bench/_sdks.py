"""The providers' own SDKs, each as the one call that a service makes per message. For bench/verify.py.

They come with the dependency group "oracles". A call gets the body as a server has it: as octets.
"""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module as load
from types import SimpleNamespace
from typing import TypeAlias

from tocsin.signing import Message

URL = "https://api.example.com"
Check: TypeAlias = Callable[[], object]


class Signed:
    """A message as a provider sends it, and the secret as the provider writes it.

    An SDK gets body, URL and headers for nothing, as plain attributes; ours has to find its headers in the message.
    """

    def __init__(self, message: Message, secret: str) -> None:
        self.message = message
        self.secret = secret
        self.body = message.body
        self.url = URL + message.target
        self.headers = dict(message.headers)


@dataclass(frozen=True)
class Sdk:
    """One SDK. `check` imports it and returns the call that a service makes per message."""

    distribution: str
    preset: str
    check: Callable[[Signed], Check]


def stripe(signed: Signed) -> Check:
    check = load("stripe").WebhookSignature.verify_header
    return lambda: check(signed.body, signed.headers["Stripe-Signature"], signed.secret, 300)


def standardwebhooks(signed: Signed) -> Check:
    webhook, headers = load("standardwebhooks").Webhook(signed.secret), signed.headers
    return lambda: webhook.verify(signed.body, headers, json_parse=False) or True


def svix(signed: Signed) -> Check:
    webhook, headers = load("svix.webhooks").Webhook(signed.secret), signed.headers
    return lambda: webhook.verify(signed.body, headers) or True


def slack(signed: Signed) -> Check:
    verifier, headers = load("slack_sdk.signature").SignatureVerifier(signed.secret), signed.headers
    return lambda: verifier.is_valid_request(signed.body, headers)


def square(signed: Signed) -> Check:
    verify_signature = load("square.utils.webhooks_helper").verify_signature
    return lambda: verify_signature(
        request_body=signed.body.decode(),
        signature_header=signed.headers["x-square-hmacsha256-signature"],
        signature_key=signed.secret,
        notification_url=signed.url,
    )


def adyen(signed: Signed) -> Check:
    is_valid_hmac_payload = load("Adyen.util").is_valid_hmac_payload
    return lambda: is_valid_hmac_payload(signed.headers["HmacSignature"], signed.secret, signed.body)


def hubspot(signed: Signed) -> Check:
    is_valid = load("hubspot.utils.signature").Signature.is_valid
    return lambda: is_valid(
        signature=signed.headers["X-HubSpot-Signature-v3"],
        client_secret=signed.secret,
        request_body=signed.body.decode(),
        http_uri=signed.url,
        http_method="POST",
        signature_version="v3",
        timestamp=signed.headers["X-HubSpot-Request-Timestamp"],
    )


def razorpay(signed: Signed) -> Check:
    utility = load("razorpay.utility").Utility()
    return lambda: utility.verify_webhook_signature(
        signed.body.decode(), signed.headers["X-Razorpay-Signature"], signed.secret
    )


def paddle(signed: Signed) -> Check:
    paddle_sdk = load("paddle_billing.Notifications")
    verifier, secret = paddle_sdk.Verifier(), paddle_sdk.Secret(signed.secret)
    request = SimpleNamespace(headers=signed.headers, body=signed.body)
    return lambda: verifier.verify(request, secret)


def line(signed: Signed) -> Check:
    validator = load("linebot.v3.webhook").SignatureValidator(signed.secret)
    return lambda: validator.validate(signed.body.decode(), signed.headers["X-Line-Signature"])


def gidgethub(signed: Signed) -> Check:
    validate_event = load("gidgethub.sansio").validate_event
    return lambda: (
        validate_event(signed.body, signature=signed.headers["X-Hub-Signature-256"], secret=signed.secret) or True
    )


def twilio(signed: Signed) -> Check:
    validator = load("twilio.request_validator").RequestValidator(signed.secret)
    return lambda: validator.validate(signed.url, signed.body.decode(), signed.headers["X-Twilio-Signature"])


def mohawk(signed: Signed) -> Check:
    receiver = load("mohawk").Receiver
    credentials = {"id": "k1", "key": signed.secret, "algorithm": "sha256"}
    return lambda: receiver(
        lambda _id: credentials,
        signed.headers["Authorization"],
        signed.url,
        "POST",
        content=signed.body,
        content_type="application/json",
    )


def mailgun(signed: Signed) -> Check:
    guard = load("mailgun.security").SecurityGuard

    def check() -> object:
        sent = json.loads(signed.body)["signature"]
        return guard.verify_webhook(signed.secret, sent["token"], sent["timestamp"], sent["signature"])

    return check


def http_message_signatures(signed: Signed) -> Check:
    library = load("http_message_signatures")
    key = SimpleNamespace(resolve_public_key=lambda _key_id: signed.secret.encode())
    verifier = library.HTTPMessageVerifier(signature_algorithm=library.algorithms.HMAC_SHA256, key_resolver=key)
    request = SimpleNamespace(method="POST", url=signed.url, headers=signed.headers)
    wanted = ("@method", "@target-uri", "content-digest")
    return lambda: bool(verifier.verify(request, require_components=wanted, body=signed.body))


def botocore(signed: Signed) -> Check:
    """It only signs; to verify with it is to sign again what was signed, and to compare."""
    keys = load("botocore.credentials").Credentials("k1", signed.secret)
    auth, request_of = load("botocore.auth").SigV4Auth(keys, "execute-api", "us-east-1"), load("botocore.awsrequest")
    at, given = signed.headers["X-Amz-Date"], signed.headers["Authorization"].rpartition("=")[2]

    def check() -> object:
        request = request_of.AWSRequest("POST", signed.url, {"X-Amz-Date": at}, signed.body)
        request.context["timestamp"] = at
        made = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        return hmac.compare_digest(made, given)

    return check


SDKS = (
    Sdk("stripe", "stripe", stripe),
    Sdk("standardwebhooks", "standard-webhooks", standardwebhooks),
    Sdk("svix", "svix", svix),
    Sdk("slack_sdk", "slack", slack),
    Sdk("squareup", "square", square),
    Sdk("Adyen", "adyen-body", adyen),
    Sdk("hubspot-api-client", "hubspot-v3", hubspot),
    Sdk("razorpay", "razorpay", razorpay),
    Sdk("paddle-python-sdk", "paddle", paddle),
    Sdk("line-bot-sdk", "line", line),
    Sdk("gidgethub", "github", gidgethub),
    Sdk("twilio", "twilio-json", twilio),
    Sdk("mohawk", "hawk", mohawk),
    Sdk("mailgun", "mailgun", mailgun),
    Sdk("http-message-signatures", "rfc9421-hmac-sha256", http_message_signatures),
    Sdk("botocore", "aws-sigv4", botocore),
)
