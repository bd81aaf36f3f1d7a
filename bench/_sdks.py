"""The providers' own SDKs, each as the one call that a service makes per message. For bench/verify.py.

They come with the dependency group "oracles". A call gets the body as a server has it: as octets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module as load
from types import SimpleNamespace
from typing import TypeAlias

from tocsin.signing import Message

URL = "https://api.example.com"
Check: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Signed:
    """A message as a provider sends it, and the secret as the provider writes it."""

    message: Message
    secret: str

    @property
    def body(self) -> bytes:
        return self.message.body

    def header(self, name: str) -> str:
        return self.message.values(name)[0]


@dataclass(frozen=True)
class Sdk:
    """One SDK. `check` imports it and returns the call that a service makes per message."""

    distribution: str
    preset: str
    check: Callable[[Signed], Check]


def stripe(signed: Signed) -> Check:
    check = load("stripe").WebhookSignature.verify_header
    return lambda: check(signed.body, signed.header("Stripe-Signature"), signed.secret, 300)


def standardwebhooks(signed: Signed) -> Check:
    webhook, headers = load("standardwebhooks").Webhook(signed.secret), dict(signed.message.headers)
    return lambda: webhook.verify(signed.body, headers, json_parse=False) or True


def svix(signed: Signed) -> Check:
    webhook, headers = load("svix.webhooks").Webhook(signed.secret), dict(signed.message.headers)
    return lambda: webhook.verify(signed.body, headers) or True


def slack(signed: Signed) -> Check:
    verifier = load("slack_sdk.signature").SignatureVerifier(signed.secret)
    timestamp, signature = signed.header("X-Slack-Request-Timestamp"), signed.header("X-Slack-Signature")
    return lambda: verifier.is_valid(signed.body, timestamp, signature)


def square(signed: Signed) -> Check:
    verify_signature = load("square.utils.webhooks_helper").verify_signature
    return lambda: verify_signature(
        request_body=signed.body.decode(),
        signature_header=signed.header("x-square-hmacsha256-signature"),
        signature_key=signed.secret,
        notification_url=f"{URL}{signed.message.target}",
    )


def adyen(signed: Signed) -> Check:
    is_valid_hmac_payload = load("Adyen.util").is_valid_hmac_payload
    return lambda: is_valid_hmac_payload(signed.header("HmacSignature"), signed.secret, signed.body)


def hubspot(signed: Signed) -> Check:
    is_valid = load("hubspot.utils.signature").Signature.is_valid
    return lambda: is_valid(
        signature=signed.header("X-HubSpot-Signature-v3"),
        client_secret=signed.secret,
        request_body=signed.body.decode(),
        http_uri=f"{URL}{signed.message.target}",
        http_method="POST",
        signature_version="v3",
        timestamp=signed.header("X-HubSpot-Request-Timestamp"),
    )


def razorpay(signed: Signed) -> Check:
    utility = load("razorpay.utility").Utility()
    return lambda: utility.verify_webhook_signature(
        signed.body.decode(), signed.header("X-Razorpay-Signature"), signed.secret
    )


def paddle(signed: Signed) -> Check:
    paddle_sdk = load("paddle_billing.Notifications")
    verifier, secret = paddle_sdk.Verifier(), paddle_sdk.Secret(signed.secret)
    request = SimpleNamespace(headers=dict(signed.message.headers), body=signed.body)
    return lambda: verifier.verify(request, secret)


def line(signed: Signed) -> Check:
    validator = load("linebot.v3.webhook").SignatureValidator(signed.secret)
    return lambda: validator.validate(signed.body.decode(), signed.header("X-Line-Signature"))


def gidgethub(signed: Signed) -> Check:
    validate_event = load("gidgethub.sansio").validate_event
    return lambda: (
        validate_event(signed.body, signature=signed.header("X-Hub-Signature-256"), secret=signed.secret) or True
    )


def twilio(signed: Signed) -> Check:
    validator = load("twilio.request_validator").RequestValidator(signed.secret)
    return lambda: validator.validate(
        f"{URL}{signed.message.target}", signed.body.decode(), signed.header("X-Twilio-Signature")
    )


def mohawk(signed: Signed) -> Check:
    receiver = load("mohawk").Receiver
    credentials = {"id": "k1", "key": signed.secret, "algorithm": "sha256"}
    return lambda: receiver(
        lambda _id: credentials,
        signed.header("Authorization"),
        f"{URL}{signed.message.target}",
        "POST",
        content=signed.body,
        content_type="application/json",
    )


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
)
