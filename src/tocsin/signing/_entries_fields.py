"""Senders that put the signature into the body and sign a few of its fields. PURE data.

Whatever else the body holds is unsigned: use these fields, and ask the provider for the rest.
"""

from tocsin.signing._message_id import MessageId
from tocsin.signing._scheme import Scheme

_ITEM = "/notificationItems/0/NotificationRequestItem"
_HOUR_S = 3_600

FIELDS_ENTRIES = (
    Scheme(
        name="adyen",
        summary="Adyen standard webhooks: base64 HMAC-SHA256 of eight fields of the one item, hex key.",
        source="https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
        content=f"{{field:{_ITEM}/pspReference}}:{{optional_field:{_ITEM}/originalReference}}"
        f":{{field:{_ITEM}/merchantAccountCode}}:{{optional_field:{_ITEM}/merchantReference}}"
        f":{{field:{_ITEM}/amount/value}}:{{field:{_ITEM}/amount/currency}}"
        f":{{field:{_ITEM}/eventCode}}:{{field:{_ITEM}/success}}",
        encoding="base64",
        signature_pointer=f"{_ITEM}/additionalData/hmacSignature",
        secret_encoding="hex",  # noqa: S106  how it is written
        not_covered="Every other field, method, path, query, every header and the time. pspReference and eventCode "
        "together name the message; neither does alone.",
    ),
    Scheme(
        name="mailgun",
        summary="Mailgun webhooks: hex HMAC-SHA256 of a timestamp and a token, both in the body.",
        source="https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
        content="{timestamp}{nonce}",
        signature_pointer="/signature/signature",
        timestamp_pointer="/signature/timestamp",
        nonce_pointer="/signature/token",
        # The default of Mailgun's own SDK, both ways.
        tolerance_past_s=900,
        tolerance_future_s=900,
        # https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries
        retry_horizon_s=8 * _HOUR_S,
        unconfirmed="Whether a retry keeps its token.",
        not_covered="The whole event, method, path, query and every header: whoever has seen one signature may put any "
        "event under it until its timestamp is too old.",
    ),
    Scheme(
        name="razorpay-checkout",
        summary="Razorpay Checkout: hex HMAC-SHA256 of order id and payment id, in the form that the browser posts.",
        source="https://razorpay.com/docs/payments/server-integration/python/integration-steps/, and "
        "razorpay-python's Utility",
        content="{field:/razorpay_order_id}|{field:/razorpay_payment_id}",
        body_format="form",
        signature_pointer="/razorpay_signature",
        message_id=MessageId(pointer="/razorpay_payment_id"),
        not_covered="The amount and every other field, method, path, query, every header and the time.",
    ),
)
