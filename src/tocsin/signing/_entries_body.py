"""Senders that sign the raw body and nothing else. PURE data."""

from tocsin.signing._message_id import MessageId
from tocsin.signing._scheme import Scheme

_HOUR_S = 3_600
_DAY_S = 24 * _HOUR_S
_ONLY_THE_BODY = "Method, path, query, every header and the time"

BODY_ENTRIES = (
    Scheme(
        name="hex-sha256-body",
        summary="Lower-case hex HMAC-SHA256 of the raw body; header and value configurable.",
        source="No document: the layout that most home-made webhooks share.",
        not_covered="Method, path, query, every header and the time: a captured message stays valid for every route "
        "that shares the secret, until the secret changes.",
    ),
    Scheme(
        name="base64-sha256-body",
        summary="Base64 HMAC-SHA256 of the raw body; header and value configurable.",
        source="No document: the other layout that home-made webhooks share.",
        encoding="base64",
        not_covered="Method, path, query, every header and the time: a captured message stays valid for every route "
        "that shares the secret, until the secret changes.",
    ),
    Scheme(
        name="github",
        summary="GitHub webhooks: hex HMAC-SHA256 of the raw body.",
        source="https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        header="X-Hub-Signature-256",
        value="sha256={signature}",
        id_header="X-GitHub-Delivery",
        # No automatic retries; by hand for 3 days, on Enterprise Server for 7:
        # https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks
        retry_horizon_s=7 * _DAY_S,
        not_covered="Method, path, query, the time, and the headers X-GitHub-Delivery and X-GitHub-Event: nothing "
        "signed tells a redelivery from an honest repeat of the same event.",
    ),
    Scheme(
        name="github-sha1",
        summary="GitHub's legacy header: hex HMAC-SHA1 of the raw body. Use github: it is sent beside this one.",
        source="https://docs.github.com/en/webhooks/webhook-events-and-payloads",
        hash="sha1",
        allow_sha1=True,
        header="X-Hub-Signature",
        value="sha1={signature}",
        id_header="X-GitHub-Delivery",
        retry_horizon_s=7 * _DAY_S,
        not_covered="Method, path, query, the time, and the headers X-GitHub-Delivery and X-GitHub-Event.",
    ),
    Scheme(
        name="shopify",
        summary="Shopify webhooks: base64 HMAC-SHA256 of the raw body, under the app's client secret.",
        source="https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
        encoding="base64",
        header="X-Shopify-Hmac-SHA256",
        id_header="X-Shopify-Webhook-Id",
        # 8 retries in 4 hours; until 2024 it was 48 hours, and a private installation may still count so:
        # https://shopify.dev/docs/apps/build/webhooks/troubleshooting-webhooks
        retry_horizon_s=2 * _DAY_S,
        unconfirmed="The retry period: from Shopify's page as others quote it.",
        not_covered=f"{_ONLY_THE_BODY}; among them X-Shopify-Webhook-Id, X-Shopify-Event-Id, X-Shopify-Topic, "
        "X-Shopify-Shop-Domain and X-Shopify-Triggered-At.",
    ),
    Scheme(
        name="line",
        summary="LINE Messaging API webhooks: base64 HMAC-SHA256 of the raw body, under the channel secret.",
        source="https://developers.line.biz/en/reference/messaging-api/#signature-validation",
        encoding="base64",
        header="X-Line-Signature",
        not_covered=f"{_ONLY_THE_BODY}. A body holds several events, each with its own webhookEventId; there is no id "
        "for the message.",
    ),
    Scheme(
        name="adyen-body",
        summary="Adyen platform, banking and management webhooks: base64 HMAC-SHA256 of the raw body, hex key.",
        source="https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
        encoding="base64",
        header="HmacSignature",
        secret_encoding="hex",  # noqa: S106  how it is written
        not_covered=f"{_ONLY_THE_BODY}.",
    ),
    Scheme(
        name="dropbox",
        summary="Dropbox webhooks: hex HMAC-SHA256 of the raw body, under the app secret.",
        source="https://www.dropbox.com/developers/reference/webhooks",
        header="X-Dropbox-Signature",
        not_covered=f"{_ONLY_THE_BODY}. The body only says whose files have changed: equal bodies are honest repeats.",
    ),
    Scheme(
        name="intercom",
        summary="Intercom webhooks: hex HMAC-SHA1 of the raw body, under the app's client secret.",
        source="https://developers.intercom.com/docs/references/webhooks/webhook-models",
        hash="sha1",
        allow_sha1=True,
        header="X-Hub-Signature",
        value="sha1={signature}",
        message_id=MessageId(pointer="/id"),
        unconfirmed="That a notification keeps its id when it is sent again.",
        not_covered=f"{_ONLY_THE_BODY}.",
    ),
    Scheme(
        name="typeform",
        summary="Typeform webhooks: base64 HMAC-SHA256 of the raw body.",
        source="https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
        encoding="base64",
        header="Typeform-Signature",
        value="sha256={signature}",
        message_id=MessageId(pointer="/event_id"),
        unconfirmed="That a response keeps its event_id when it is sent again.",
        not_covered=f"{_ONLY_THE_BODY}.",
    ),
    Scheme(
        name="razorpay",
        summary="Razorpay webhooks: hex HMAC-SHA256 of the raw body, under the webhook secret.",
        source="https://razorpay.com/docs/webhooks/validate-test/, and razorpay-python's Utility",
        header="X-Razorpay-Signature",
        id_header="X-Razorpay-Event-Id",
        # Sent again for 24 hours: https://razorpay.com/docs/webhooks/best-practices/
        retry_horizon_s=_DAY_S,
        unconfirmed="The retry period: from Razorpay's page on best practices as others quote it.",
        not_covered=f"{_ONLY_THE_BODY}; among them X-Razorpay-Event-Id, which Razorpay suggests against repeats.",
    ),
    Scheme(
        name="coinbase-commerce",
        summary="Coinbase Commerce webhooks: hex HMAC-SHA256 of the raw body.",
        source="https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-security",
        header="X-CC-Webhook-Signature",
        message_id=MessageId(pointer="/event/id"),
        # https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-overview
        retry_horizon_s=3 * _DAY_S,
        unconfirmed="That an event keeps its id when it is sent again.",
        not_covered=f"{_ONLY_THE_BODY}.",
    ),
    Scheme(
        name="linear",
        summary="Linear webhooks: hex HMAC-SHA256 of the raw body, in which the time stands.",
        source="https://linear.app/developers/webhooks",
        header="Linear-Signature",
        timestamp_pointer="/webhookTimestamp",
        timestamp_format="unix_ms",
        tolerance_past_s=60,
        tolerance_future_s=60,
        id_header="Linear-Delivery",
        # 3 retries, after 1 minute, 1 hour and 6 hours.
        retry_horizon_s=8 * _HOUR_S,
        unconfirmed="The retry schedule, and whether a retry keeps its webhookTimestamp: if it does, the later retries "
        "are outside the tolerance.",
        not_covered="Method, path, query and every header; among them Linear-Delivery, Linear-Event and "
        "Linear-Timestamp.",
    ),
    Scheme(
        name="clickup",
        summary="ClickUp webhooks: hex HMAC-SHA256 of the raw body.",
        source="https://developer.clickup.com/docs/webhooksignature",
        not_covered=f"{_ONLY_THE_BODY}. Most events hold /history_items/0/id, which can serve as message id; some, "
        "such as taskDeleted, hold none.",
    ),
    Scheme(
        name="woocommerce",
        summary="WooCommerce webhooks: base64 HMAC-SHA256 of the raw body.",
        source="https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/",
        encoding="base64",
        header="X-WC-Webhook-Signature",
        id_header="X-WC-Webhook-Delivery-ID",
        unconfirmed="The header and its base64: from public handlers that agree; WooCommerce's page names the hash of "
        "the body.",
        not_covered=f"{_ONLY_THE_BODY}; among them X-WC-Webhook-Delivery-ID, X-WC-Webhook-Topic and "
        "X-WC-Webhook-Source.",
    ),
    Scheme(
        name="meta",
        summary="Meta webhooks (Facebook, Instagram, WhatsApp): hex HMAC-SHA256 of the raw body, under the app secret.",
        source="https://developers.facebook.com/docs/graph-api/webhooks/getting-started",
        header="X-Hub-Signature-256",
        value="sha256={signature}",
        # 36 hours for the Graph API; 7 days for WhatsApp.
        retry_horizon_s=7 * _DAY_S,
        unconfirmed="The layout and the retry periods: from Meta's pages as others quote them.",
        not_covered=f"{_ONLY_THE_BODY}. A body holds several changes; there is no id for the message.",
    ),
)
