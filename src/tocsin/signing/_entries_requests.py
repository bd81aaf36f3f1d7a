"""Schemes for requests to an API: they sign the route, and select the secret by key id. PURE data."""

from tocsin.signing._message_id import MessageId
from tocsin.signing._scheme import Scheme

_DAY_S = 86_400

REQUEST_ENTRIES = (
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
    Scheme(
        name="rfc9421-hmac-sha256",
        summary="HTTP Message Signatures with hmac-sha256: method, URL, created and RFC 9530 Content-Digest.",
        source="https://www.rfc-editor.org/rfc/rfc9421, https://www.rfc-editor.org/rfc/rfc9530",
        content="{http_signature_base}",
        encoding="base64",
        header="Signature",
        covered=("@method", "@target-uri", "content-digest"),
        digest="rfc9530",
        digest_header="Content-Digest",
        not_covered="Every header but Content-Digest, unless the sender covers more: it may, and what it covers holds.",
    ),
    Scheme(
        name="aws-sigv4",
        summary="AWS Signature Version 4 in the Authorization header, for services other than S3.",
        source="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html",
        content="AWS4-HMAC-SHA256\n{timestamp}\n{date}/{scope}/aws4_request\n{aws4_request_sha256}",
        header="Authorization",
        value="AWS4-HMAC-SHA256 Credential={key_id}/{date}/{scope}/aws4_request, SignedHeaders={covered}, "
        "Signature={signature}",
        timestamp_header="X-Amz-Date",
        timestamp_format="iso8601_basic",
        covered=("host", "x-amz-date"),
        scope="us-east-1/execute-api",
        key_derivation="aws4",
        unconfirmed="The window: AWS's services are said to tolerate 5 minutes.",
        not_covered="Headers that SignedHeaders does not list, but for those whose name begins with x-amz-.",
    ),
    Scheme(
        name="hawk",
        summary="Hawk with a payload hash: timestamp, nonce, method, target, host, port and body.",
        source="https://github.com/mozilla/hawk/blob/main/API.md#protocol",
        content="hawk.1.header\n{timestamp}\n{nonce}\n{method}\n{target}\n{host}\n{port}\n{digest}\n\n",
        encoding="base64",
        header="Authorization",
        value='Hawk id="{key_id}", ts="{timestamp}", nonce="{nonce}", hash="{digest}", mac="{signature}"',
        item_separator=", ",
        digest="hawk",
        tolerance_past_s=60,
        tolerance_future_s=60,
        not_covered="Every header but Content-Type, of which the parameters are not covered either.",
    ),
)
