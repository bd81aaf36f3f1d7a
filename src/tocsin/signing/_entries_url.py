"""Senders that sign the public URL. PURE data.

Every one of them needs Message.public_origin.
"""

from tocsin.signing._message_id import MessageId
from tocsin.signing._scheme import Scheme

_DAY_S = 86_400

URL_ENTRIES = (
    Scheme(
        name="square",
        summary="Square webhooks: base64 HMAC-SHA256 of notification URL and raw body.",
        source="https://developer.squareup.com/docs/webhooks/step3validate",
        content="{url}{body}",
        encoding="base64",
        header="x-square-hmacsha256-signature",
        message_id=MessageId(pointer="/event_id"),
        # https://developer.squareup.com/docs/webhooks/troubleshooting
        retry_horizon_s=_DAY_S,
        not_covered="Method, every header and the time. Nothing separates URL and body: a URL with a bracket is "
        "refused, and a body that begins like the end of a URL; Square's bodies begin with a brace.",
    ),
    Scheme(
        name="hubspot-v3",
        summary="HubSpot requests, version 3: base64 HMAC-SHA256 of method, URL, raw body and timestamp.",
        source="https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation",
        content="{method}{hubspot_url}{body}{timestamp}",
        encoding="base64",
        header="X-HubSpot-Signature-v3",
        timestamp_header="X-HubSpot-Request-Timestamp",
        timestamp_format="unix_ms",
        # 10 retries in 24 hours: https://developers.hubspot.com/docs/api/webhooks
        retry_horizon_s=_DAY_S,
        unconfirmed="The retry period: from HubSpot's page as others quote it.",
        not_covered="Every header but the timestamp's. A body holds several events; there is no id for the message. "
        "HubSpot signs the URL with twelve of its escapes undone: what differs only in those signs alike. Nothing "
        "separates URL and body: a URL with a bracket is refused, and a body that begins like the end of a URL; "
        "HubSpot's bodies are JSON objects or lists, or empty.",
    ),
    Scheme(
        name="twilio",
        summary="Twilio requests with form parameters: base64 HMAC-SHA1 of URL and sorted parameters.",
        source="https://www.twilio.com/docs/usage/security#validating-requests",
        content="{url}{form}",
        hash="sha1",
        allow_sha1=True,
        encoding="base64",
        header="X-Twilio-Signature",
        body_format="form",
        id_header="I-Twilio-Idempotency-Token",
        not_covered="Method, every header and the time. Nothing separates URL, names and values, so they can be cut "
        "elsewhere under the same signature. Order, repetition and percent-encoding of parameters.",
    ),
    Scheme(
        name="twilio-json",
        summary="Twilio requests with any other body: base64 HMAC-SHA1 of a URL that holds the body's SHA-256.",
        source="https://www.twilio.com/docs/usage/security#validating-requests, and "
        "https://www.twilio.com/docs/api/errors/57012",
        content="{url_with_digest:bodySHA256}",
        hash="sha1",
        allow_sha1=True,
        encoding="base64",
        header="X-Twilio-Signature",
        id_header="I-Twilio-Idempotency-Token",
        not_covered="Method, every header and the time.",
    ),
)
