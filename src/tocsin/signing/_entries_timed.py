"""Senders that sign a timestamp with the raw body. PURE data."""

from tocsin.signing._message_id import MessageId
from tocsin.signing._scheme import Scheme

_MINUTE_S = 60
_HOUR_S = 60 * _MINUTE_S
_DAY_S = 24 * _HOUR_S
_NO_ROUTE = "Method, path, query and every other header"

TIMED_ENTRIES = (
    Scheme(
        name="hex-sha256-timestamp-body",
        summary="Lower-case hex HMAC-SHA256 of timestamp, full stop and raw body; headers configurable.",
        source="No document: the layout that home-made webhooks with a timestamp share.",
        content="{timestamp}.{body}",
        timestamp_header="X-Timestamp",
        not_covered=f"{_NO_ROUTE}: a message is valid for every route that shares the secret.",
    ),
    Scheme(
        name="base64-sha256-timestamp-body",
        summary="Base64 HMAC-SHA256 of timestamp, full stop and raw body; headers configurable.",
        source="No document: the layout that home-made webhooks with a timestamp share.",
        content="{timestamp}.{body}",
        encoding="base64",
        timestamp_header="X-Timestamp",
        not_covered=f"{_NO_ROUTE}: a message is valid for every route that shares the secret.",
    ),
    Scheme(
        name="stripe",
        summary="Stripe webhooks: hex HMAC-SHA256 of timestamp and raw body, several signatures while secrets roll.",
        source="https://docs.stripe.com/webhooks/signature",
        content="{timestamp}.{body}",
        header="Stripe-Signature",
        value="t={timestamp},v1={signature}",
        item_separator=",",
        message_id=MessageId(pointer="/id"),
        # Automatic retries for 3 days, by hand for 30: https://docs.stripe.com/cli/events/resend
        retry_horizon_s=30 * _DAY_S,
        not_covered="Method, path, query and every other header: an endpoint per secret, or a message for one is valid "
        "for the other.",
    ),
    Scheme(
        name="slack",
        summary="Slack events, commands and interactions: hex HMAC-SHA256 of version, timestamp and raw body.",
        source="https://docs.slack.dev/authentication/verifying-requests-from-slack",
        content="v0:{timestamp}:{body}",
        header="X-Slack-Signature",
        value="v0={signature}",
        timestamp_header="X-Slack-Request-Timestamp",
        # 3 retries in about 6 minutes; with delayed events every hour for a day more:
        # https://docs.slack.dev/apis/events-api/
        retry_horizon_s=25 * _HOUR_S,
        unconfirmed="The retry periods: from Slack's page as others quote it.",
        not_covered=f"{_NO_ROUTE}; among them X-Slack-Retry-Num. Events hold /event_id, which can serve as message id; "
        "commands and interactions are forms and hold none.",
    ),
    Scheme(
        name="standard-webhooks",
        summary="Standard Webhooks: base64 HMAC-SHA256 of message id, timestamp and raw body.",
        source="https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        content="{header:webhook-id}.{timestamp}.{body}",
        encoding="base64",
        header="webhook-signature",
        value="v1,{signature}",
        item_separator=" ",
        timestamp_header="webhook-timestamp",
        message_id=MessageId(header="webhook-id"),
        # The sample schedule of the specification ends after 75 h 35 min; every sender has its own.
        retry_horizon_s=4 * _DAY_S,
        secret_encoding="base64",  # noqa: S106  how it is written
        secret_prefix="whsec_",  # noqa: S106  no secret yet
        not_covered=f"{_NO_ROUTE}.",
    ),
    Scheme(
        name="svix",
        summary="Svix: Standard Webhooks under the header names svix-id, svix-timestamp and svix-signature.",
        source="https://docs.svix.com/receiving/verifying-payloads/how-manual",
        content="{header:svix-id}.{timestamp}.{body}",
        encoding="base64",
        header="svix-signature",
        value="v1,{signature}",
        item_separator=" ",
        timestamp_header="svix-timestamp",
        message_id=MessageId(header="svix-id"),
        # Automatic retries for 28 hours (https://docs.svix.com/retries), by hand as long as the payload is kept:
        # https://docs.svix.com/retention/
        retry_horizon_s=90 * _DAY_S,
        secret_encoding="base64",  # noqa: S106  how it is written
        secret_prefix="whsec_",  # noqa: S106  no secret yet
        not_covered=f"{_NO_ROUTE}.",
    ),
    Scheme(
        name="paddle",
        summary="Paddle Billing notifications: hex HMAC-SHA256 of timestamp and raw body.",
        source="https://developer.paddle.com/webhooks/signature-verification",
        content="{timestamp}:{body}",
        header="Paddle-Signature",
        value="ts={timestamp};h1={signature}",
        item_separator=";",
        # The default of Paddle's own SDKs, both ways.
        tolerance_past_s=5,
        tolerance_future_s=5,
        message_id=MessageId(pointer="/event_id"),
        # 60 attempts in 3 days: https://developer.paddle.com/webhooks/respond-to-webhooks
        retry_horizon_s=3 * _DAY_S,
        unconfirmed="For how long an exhausted notification can be replayed by hand.",
        not_covered=f"{_NO_ROUTE}.",
    ),
    Scheme(
        name="zoom",
        summary="Zoom webhooks: hex HMAC-SHA256 of version, timestamp and raw body, under the secret token.",
        source="https://developers.zoom.us/docs/api/webhooks/#verify-webhook-events",
        content="v0:{timestamp}:{body}",
        header="x-zm-signature",
        value="v0={signature}",
        timestamp_header="x-zm-request-timestamp",
        # 3 retries, the last one 85 minutes after the first attempt: https://developers.zoom.us/blog/webhook-delays
        retry_horizon_s=2 * _HOUR_S,
        unconfirmed="The layout and the window: from guides that agree, while one sample leaves out the v0= of the "
        "header.",
        not_covered=f"{_NO_ROUTE}; among them x-zm-trackingid.",
    ),
    Scheme(
        name="zendesk",
        summary="Zendesk webhooks: base64 HMAC-SHA256 of timestamp and raw body, with nothing between them.",
        source="https://developer.zendesk.com/documentation/webhooks/verifying/",
        content="{timestamp}{body}",
        encoding="base64",
        header="X-Zendesk-Webhook-Signature",
        timestamp_header="X-Zendesk-Webhook-Signature-Timestamp",
        timestamp_format="iso8601",
        id_header="X-Zendesk-Webhook-Invocation-Id",
        # An edition of https://developer.zendesk.com/documentation/event-connectors/webhooks/verifying/ has the two the
        # other way round; its example verifies under content="{body}{timestamp}", see the vector file.
        unconfirmed="The window, which no page names. One edition of the page on event connectors has the body before "
        "the timestamp; this is the layout of webhooks.",
        not_covered=f"{_NO_ROUTE}; among them X-Zendesk-Webhook-Invocation-Id. Webhooks that are subscribed to events "
        "hold /id, which can serve as message id; those of triggers have a body of your own.",
    ),
    Scheme(
        name="calendly",
        summary="Calendly webhooks: hex HMAC-SHA256 of timestamp and raw body, under the webhook signing key.",
        source="https://developer.calendly.com/api-docs/overview/webhooks/webhook-signatures",
        content="{timestamp}.{body}",
        header="Calendly-Webhook-Signature",
        value="t={timestamp},v1={signature}",
        item_separator=",",
        tolerance_past_s=3 * _MINUTE_S,
        tolerance_future_s=3 * _MINUTE_S,
        # https://developer.calendly.com/api-docs/overview/webhooks/webhook-errors
        retry_horizon_s=_DAY_S,
        unconfirmed="The layout, from guides and a post by Calendly's staff; its page names the header. The window: "
        "guides say 3 minutes.",
        not_covered=f"{_NO_ROUTE}.",
    ),
)
