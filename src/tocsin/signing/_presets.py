"""Published schemes, and our own, as data. PURE.

Rule: one entry says everything: layout, window, message id, for how long its sender may send again, what stays
unsigned, and where that is written. No code knows a scheme by name.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from tocsin.signing._errors import SchemeError
from tocsin.signing._message_id import MessageId
from tocsin.signing._nearest import unknown
from tocsin.signing._scheme import Scheme

_DAY_S = 86_400

_ENTRIES = (
    Scheme(
        name="hex-sha256-body",
        summary="Lower-case hex HMAC-SHA256 of the raw body; header and value configurable.",
        source="No document: the layout that most home-made webhooks share.",
        content="{body}",
        header="X-Signature",
        value="{signature}",
        not_covered="Method, path, query, every header and the time: a captured message stays valid for every route "
        "that shares the secret, until the secret changes.",
    ),
    Scheme(
        name="github",
        summary="GitHub webhooks: hex HMAC-SHA256 of the raw body.",
        source="https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        content="{body}",
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
        name="tocsin-v1",
        summary="For new services: method, path, query, time, key id, idempotency key and body digest are signed.",
        source="This entry, and tests/signing/vectors/tocsin-v1.json.",
        content="tocsin-v1\n{timestamp}\n{key_id}\n{method}\n{path}\n{query}\n{header:Idempotency-Key}\n{body_sha256}",
        header="Tocsin-Signature",
        value="t={timestamp},k={key_id},v1={signature}",
        item_separator=",",
        message_id=MessageId(header="Idempotency-Key"),
        # A sender that has had no answer for a week asks a person. Longer than any published webhook schedule we know.
        retry_horizon_s=7 * _DAY_S,
        not_covered="Host, and every header but Idempotency-Key, Content-Type among them.",
    ),
)

PRESETS: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _ENTRIES})


def preset(name: str, **changes: Any) -> Scheme:  # noqa: ANN401  each is checked by Scheme, and by the plan's table
    """A preset, perhaps with other values in some of its fields.

    Args:
        name: one of PRESETS.
        changes: fields of Scheme: preset("hex-sha256-body", header="X-Hub", value="sha256={signature}").

    Raises:
        SchemeError: no such preset or field, or the result is no scheme.
    """
    if name not in PRESETS:
        raise SchemeError(unknown("preset", name, PRESETS))
    fields = [known for known, declared in Scheme.__dataclass_fields__.items() if declared.init]
    for change in changes:
        if change not in fields:
            raise SchemeError(unknown("field of a scheme", change, fields))
    return replace(PRESETS[name], **changes)
