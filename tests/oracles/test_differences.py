"""Where we are stricter than a provider's package, or it is stricter than we are: each difference by its name.

The names are those of docs/signing.md. A test that fails here says that a package has changed its mind.
"""

import base64
import datetime as dt
import hmac
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import pytest

from tocsin.signing import PRESETS, KeyRing, Malformed, Message, OutsideTolerance, Rejected, Verified, verify

Oracle: TypeAlias = Callable[[str], ModuleType]

ORIGIN = "https://api.example.com"
PLAIN = "correct-horse-battery-staple"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADYEN_HEX = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
BODY = b'{"id":"evt_1"}'
SECRETS = {"standard-webhooks": WHSEC, "svix": WHSEC, "adyen": ADYEN_HEX}
DIFFERENCES = Path(__file__).parents[2] / "docs" / "signing.md"


def ours(
    preset: str, *headers: tuple[str, str], body: bytes = BODY, target: str = "/hook", method: str = "POST"
) -> Verified:
    scheme = PRESETS[preset]
    secret = scheme.decode_secret(SECRETS.get(preset, PLAIN).encode(), key_id="key-1")
    return verify(Message(method, target, headers, body, ORIGIN), scheme, KeyRing.of(secret), now=time.time())


def hex_mac(base: bytes, hash_name: str = "sha256") -> str:
    return hmac.new(PLAIN.encode(), base, hash_name).hexdigest()


def b64_mac(base: bytes, key: bytes = PLAIN.encode(), hash_name: str = "sha256") -> str:
    return base64.b64encode(hmac.new(key, base, hash_name).digest()).decode()


def difference_stripe_future_timestamp(oracle: Oracle) -> None:
    """stripe: a timestamp one year ahead verifies."""
    ahead = int(time.time()) + 365 * 86_400
    value = f"t={ahead},v1={hex_mac(b'%d.' % ahead + BODY)}"
    assert oracle("stripe").WebhookSignature.verify_header(BODY.decode(), value, PLAIN, 300)
    with pytest.raises(OutsideTolerance):
        ours("stripe", ("Stripe-Signature", value))


def difference_stripe_timestamp_aliases(oracle: Oracle) -> None:
    """stripe: +1700000000 and 1_700_000_000 verify under the signature of 1700000000."""
    now = int(time.time())
    signature = hex_mac(b"%d." % now + BODY)
    for alias in (f"+{now}", f"0{now}", f"{now:_}"):
        value = f"t={alias},v1={signature}"
        assert oracle("stripe").WebhookSignature.verify_header(BODY.decode(), value, PLAIN, 300)
        with pytest.raises(Malformed):
            ours("stripe", ("Stripe-Signature", value))


def difference_stripe_non_ascii_signature(oracle: Oracle) -> None:
    """stripe: a signature of other characters raises TypeError, hence a 500."""
    value = f"t={int(time.time())},v1={chr(233) * 64}"
    with pytest.raises(TypeError):
        oracle("stripe").WebhookSignature.verify_header(BODY.decode(), value, PLAIN, 300)
    with pytest.raises(Rejected):
        ours("stripe", ("Stripe-Signature", value))


def webhook(oracle: Oracle, module: str, prefix: str, at: str, value: str) -> Any:
    headers = {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": at, f"{prefix}-signature": value}
    return oracle(module).Webhook(WHSEC).verify(BODY, headers)


def webhook_signature(at: int) -> str:
    return "v1," + b64_mac(b"msg_1.%d." % at + BODY, base64.b64decode(WHSEC.removeprefix("whsec_")))


WEBHOOKS = (("standard-webhooks", "standardwebhooks", "webhook"), ("svix", "svix.webhooks", "svix"))


def difference_webhooks_timestamp_aliases(oracle: Oracle) -> None:
    """standardwebhooks, svix: the timestamp is read as a float and cut off, so it has many spellings."""
    now = int(time.time())
    for preset, module, prefix in WEBHOOKS:
        for alias in (f"{now}.7", f"+{now}", f" {now}", f"{now:_}", f"{now / 1e9}e9"):
            webhook(oracle, module, prefix, alias, webhook_signature(now))
            with pytest.raises(Malformed):
                ours(
                    preset,
                    (f"{prefix}-id", "msg_1"),
                    (f"{prefix}-timestamp", alias),
                    (f"{prefix}-signature", webhook_signature(now)),
                )


def difference_webhooks_junk_in_the_list(oracle: Oracle) -> None:
    """standardwebhooks, svix: one junk item before the good one raises ValueError, hence a 500; we skip it."""
    now = int(time.time())
    for preset, module, prefix in WEBHOOKS:
        value = f"v1 {webhook_signature(now)}"
        with pytest.raises(ValueError, match="not enough values to unpack"):
            webhook(oracle, module, prefix, str(now), value)
        ours(preset, (f"{prefix}-id", "msg_1"), (f"{prefix}-timestamp", str(now)), (f"{prefix}-signature", value))


def difference_webhooks_secret_without_prefix(oracle: Oracle) -> None:
    """standardwebhooks, svix: whsec_ may be missing; we want it, or secret_prefix = "" in the declaration."""
    assert oracle("standardwebhooks").Webhook(WHSEC.removeprefix("whsec_"))
    with pytest.raises(ValueError, match="does not begin with 'whsec_'"):
        PRESETS["standard-webhooks"].decode_secret(WHSEC.removeprefix("whsec_").encode())


def difference_webhooks_signature_spellings(oracle: Oracle) -> None:
    """standardwebhooks, svix: base64 is decoded before it is compared, so one signature has many spellings."""
    now = int(time.time())
    value = webhook_signature(now) + "===="
    webhook(oracle, "standardwebhooks", "webhook", str(now), value)
    with pytest.raises(Malformed):
        ours("standard-webhooks", ("webhook-id", "a"), ("webhook-timestamp", str(now)), ("webhook-signature", value))


def difference_slack_bytes_and_junk(oracle: Oracle) -> None:
    """slack-sdk: a body that is not UTF-8 and a junk timestamp raise, hence a 500; we verify octets."""
    verifier = oracle("slack_sdk.signature").SignatureVerifier(PLAIN)
    now, body = int(time.time()), b"\xff"
    value = "v0=" + hex_mac(b"v0:%d:" % now + body)
    with pytest.raises(UnicodeDecodeError):
        verifier.is_valid(body, str(now), value)
    ours("slack", ("X-Slack-Signature", value), ("X-Slack-Request-Timestamp", str(now)), body=body)
    with pytest.raises(ValueError, match="invalid literal"):
        verifier.is_valid(BODY, "junk", value)
    with pytest.raises(Malformed):
        ours("slack", ("X-Slack-Signature", value), ("X-Slack-Request-Timestamp", "junk"))


def difference_twilio_port(oracle: Oracle) -> None:
    """twilio: a URL verifies with and without its default port; we sign the one that is configured."""
    validator = oracle("twilio.request_validator").RequestValidator(PLAIN)
    signature = b64_mac(b"https://api.example.com:443/hook", hash_name="sha1")
    assert validator.validate("https://api.example.com/hook", {}, signature)
    with pytest.raises(Rejected):
        ours("twilio", ("X-Twilio-Signature", signature), body=b"")


def difference_twilio_fields_cut_elsewhere(oracle: Oracle) -> None:
    """twilio: names and values are joined without anything between them; neither package can tell. No difference."""
    validator = oracle("twilio.request_validator").RequestValidator(PLAIN)
    signature = validator.compute_signature("https://api.example.com/hook", {"ab": "c"})
    assert validator.validate("https://api.example.com/hook", {"a": "bc"}, signature)
    digests = {
        ours("twilio", ("X-Twilio-Signature", signature), body=body).signed_content_digest
        for body in (b"ab=c", b"a=bc")
    }
    assert len(digests) == 1


def adyen_item(oracle: Oracle, **changes: str) -> dict[str, Any]:
    item: dict[str, Any] = {
        "pspReference": "p",
        "merchantAccountCode": "m",
        "merchantReference": "r",
        "amount": {"value": 1, "currency": "EUR"},
        "eventCode": "CAPTURE",
        "success": "true",
        **changes,
    }
    signature = oracle("Adyen.util").generate_notification_sig(item, ADYEN_HEX).decode()
    return {"NotificationRequestItem": {**item, "additionalData": {"hmacSignature": signature}}}


def difference_adyen_second_item(oracle: Oracle) -> None:
    """Adyen: only the first item is looked at, so a forged second one passes; we want exactly one."""
    forged = {"NotificationRequestItem": {"pspReference": "forged"}}
    document = {"notificationItems": [adyen_item(oracle), forged]}
    assert oracle("Adyen.util").is_valid_hmac_notification(document, ADYEN_HEX)
    with pytest.raises(Malformed):
        ours("adyen", body=json.dumps(document).encode())


def difference_adyen_colon_in_a_field(oracle: Oracle) -> None:
    """Adyen: a colon can move between two fields under one signature; we refuse fields that hold one."""
    moved = adyen_item(oracle, merchantAccountCode="A", merchantReference="B:C")
    item = moved["NotificationRequestItem"]
    item["merchantAccountCode"], item["merchantReference"] = "A:B", "C"
    assert oracle("Adyen.util").is_valid_hmac_notification({"notificationItems": [moved]}, ADYEN_HEX)
    with pytest.raises(Malformed):
        ours("adyen", body=json.dumps({"notificationItems": [moved]}).encode())


def difference_hubspot_future_timestamp(oracle: Oracle) -> None:
    """hubspot-api-client: a timestamp one year ahead verifies."""
    ahead = (int(time.time()) + 365 * 86_400) * 1000
    value = b64_mac(f"POST{ORIGIN}/hook".encode() + BODY + b"%d" % ahead)
    assert oracle("hubspot.utils.signature").Signature.is_valid(
        value, PLAIN, BODY.decode(), f"{ORIGIN}/hook", "POST", "v3", str(ahead)
    )
    with pytest.raises(OutsideTolerance):
        ours("hubspot-v3", ("X-HubSpot-Signature-v3", value), ("X-HubSpot-Request-Timestamp", str(ahead)))


def difference_hubspot_escapes_in_the_url(oracle: Oracle) -> None:
    """hubspot-api-client: takes the URL as it is given; we undo the twelve escapes that HubSpot's page lists."""
    at = str(int(time.time()) * 1000)
    value = b64_mac(f"POST{ORIGIN}/hook?e=a@b".encode() + BODY + at.encode())
    headers = (("X-HubSpot-Signature-v3", value), ("X-HubSpot-Request-Timestamp", at))
    ours("hubspot-v3", *headers, target="/hook?e=a%40b")
    signature = oracle("hubspot.utils.signature").Signature
    assert not signature.is_valid(value, PLAIN, BODY.decode(), f"{ORIGIN}/hook?e=a%40b", "POST", "v3", at)


def difference_hubspot_end_of_the_url_in_the_body(oracle: Oracle) -> None:
    """hubspot-api-client: the end of a signed URL may stand in the body; we want a body that no URL can end with."""
    at = str(int(time.time()) * 1000)
    value = b64_mac(f"GET{ORIGIN}/crm?objectId=331{at}".encode())
    signature = oracle("hubspot.utils.signature").Signature
    for url, body in ((f"{ORIGIN}/crm?objectId=331", ""), (f"{ORIGIN}/crm?objectId=33", "1")):
        assert signature.is_valid(value, PLAIN, body, url, "GET", "v3", at)
    headers = (("X-HubSpot-Signature-v3", value), ("X-HubSpot-Request-Timestamp", at))
    ours("hubspot-v3", *headers, body=b"", target="/crm?objectId=331", method="GET")
    with pytest.raises(Malformed, match="begins with a character of a URL"):
        ours("hubspot-v3", *headers, body=b"1", target="/crm?objectId=33", method="GET")


def difference_paddle_test_mode(oracle: Oracle) -> None:
    """paddle-python-sdk: TEST_MODE=1 in the environment switches the time test off; nothing does so here."""
    notifications = oracle("paddle_billing.Notifications")
    value = f"ts=1;h1={hex_mac(b'1:' + BODY)}"
    request = SimpleNamespace(body=BODY, headers={"Paddle-Signature": value})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_MODE", "1")
        assert notifications.Verifier().verify(request, notifications.Secret(PLAIN))
        with pytest.raises(OutsideTolerance):
            ours("paddle", ("Paddle-Signature", value))


def difference_paddle_unknown_items(oracle: Oracle) -> None:
    """paddle-python-sdk: an item of another version raises ValueError, hence a 500; we skip it."""
    notifications = oracle("paddle_billing.Notifications")
    now = int(time.time())
    value = f"ts={now};h2=x;h1={hex_mac(b'%d:' % now + BODY)}"
    with pytest.raises(ValueError, match="Unrecognized Paddle-Signature key"):
        notifications.Verifier().verify(
            SimpleNamespace(body=BODY, headers={"Paddle-Signature": value}), notifications.Secret(PLAIN)
        )
    ours("paddle", ("Paddle-Signature", value))


def difference_square_empty_body(oracle: Oracle) -> None:
    """squareup: an empty body never verifies; here it does, under its own signature."""
    value = b64_mac(f"{ORIGIN}/hook".encode())
    helper = oracle("square.utils.webhooks_helper")
    assert not helper.verify_signature(
        request_body="", signature_header=value, signature_key=PLAIN, notification_url=f"{ORIGIN}/hook"
    )
    ours("square", ("x-square-hmacsha256-signature", value), body=b"")


def difference_square_end_of_the_url_in_the_body(oracle: Oracle) -> None:
    """squareup: the end of a signed URL may stand in the body; we want a body that no URL can end with."""
    value = b64_mac(f"{ORIGIN}/hook?at=12".encode() + BODY)
    helper = oracle("square.utils.webhooks_helper")
    for url, body in ((f"{ORIGIN}/hook?at=12", BODY), (f"{ORIGIN}/hook?at=1", b"2" + BODY)):
        assert helper.verify_signature(
            request_body=body.decode(), signature_header=value, signature_key=PLAIN, notification_url=url
        )
    ours("square", ("x-square-hmacsha256-signature", value), target="/hook?at=12")
    with pytest.raises(Malformed, match="begins with a character of a URL"):
        ours("square", ("x-square-hmacsha256-signature", value), target="/hook?at=1", body=b"2" + BODY)


def difference_razorpay_non_ascii_signature(oracle: Oracle) -> None:
    """razorpay: a signature of other characters raises TypeError, hence a 500."""
    utility = oracle("razorpay").Client(auth=("id", PLAIN)).utility
    with pytest.raises(TypeError):
        utility.verify_webhook_signature(BODY.decode(), chr(233) * 64, PLAIN)
    with pytest.raises(Rejected):
        ours("razorpay", ("X-Razorpay-Signature", chr(233) * 64))


def difference_mailgun_junk(oracle: Oracle) -> None:
    """mailgun: a timestamp that is none raises TypeError, hence a 500."""
    guard = oracle("mailgun.security").SecurityGuard
    with pytest.raises(TypeError):
        guard.verify_webhook(PLAIN, "t", "junk", "0" * 64)
    document = {"signature": {"timestamp": "junk", "token": "t", "signature": "0" * 64}}
    with pytest.raises(Malformed):
        ours("mailgun", body=json.dumps(document).encode())


def difference_gidgethub_sha1(oracle: Oracle) -> None:
    """gidgethub: takes a sha1= value where sha256= is expected; the preset github does not."""
    value = "sha1=" + hex_mac(BODY, "sha1")
    oracle("gidgethub.sansio").validate_event(BODY, signature=value, secret=PLAIN)
    with pytest.raises(Malformed):
        ours("github", ("X-Hub-Signature-256", value))


def hawk_header(oracle: Oracle, **options: Any) -> str:
    credentials = {"id": "key-1", "key": PLAIN, "algorithm": "sha256"}
    sender = oracle("mohawk").Sender(credentials, f"{ORIGIN}/hook", "POST", **options)
    return str(sender.request_header)


def difference_hawk_without_payload_hash(oracle: Oracle) -> None:
    """mohawk: a request may leave its body unsigned, where the receiver allows it; here it never may."""
    value = hawk_header(oracle, always_hash_content=False)
    oracle("mohawk").Receiver(
        lambda _id: {"id": "key-1", "key": PLAIN, "algorithm": "sha256"},
        value,
        f"{ORIGIN}/hook",
        "POST",
        content=BODY,
        content_type="text/plain",
        accept_untrusted_content=True,
    )
    with pytest.raises(Malformed):
        ours("hawk", ("Authorization", value), ("Content-Type", "text/plain"))


def difference_hawk_ext(oracle: Oracle) -> None:
    """mohawk: signs ext, app and dlg; the preset takes requests without them only."""
    value = hawk_header(oracle, content=BODY, content_type="text/plain", ext="e")
    oracle("mohawk").Receiver(
        lambda _id: {"id": "key-1", "key": PLAIN, "algorithm": "sha256"},
        value,
        f"{ORIGIN}/hook",
        "POST",
        content=BODY,
        content_type="text/plain",
    )
    with pytest.raises(Rejected):
        ours("hawk", ("Authorization", value), ("Content-Type", "text/plain"))


def difference_http_signatures_age(oracle: Oracle) -> None:
    """http-message-signatures: a signature is good for a day unless one says otherwise; here for 5 minutes."""
    signatures = oracle("http_message_signatures")
    resolver = SimpleNamespace(
        resolve_public_key=lambda _id: PLAIN.encode(), resolve_private_key=lambda _id: PLAIN.encode()
    )
    algorithm = signatures.algorithms.HMAC_SHA256
    request = SimpleNamespace(method="POST", url=f"{ORIGIN}/hook", headers={})
    signatures.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver).sign(
        request,
        key_id="key-1",
        created=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1),
        covered_component_ids=("@method", "@target-uri"),
        body=BODY,
    )
    verifier = signatures.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=resolver)
    assert verifier.verify(request, body=BODY)
    with pytest.raises(OutsideTolerance):
        ours("rfc9421-hmac-sha256", *request.headers.items())


def difference_http_signatures_coverage(oracle: Oracle) -> None:
    """http-message-signatures: what has to be covered is the caller's business; here method, URL and body are."""
    signatures = oracle("http_message_signatures")
    resolver = SimpleNamespace(
        resolve_public_key=lambda _id: PLAIN.encode(), resolve_private_key=lambda _id: PLAIN.encode()
    )
    algorithm = signatures.algorithms.HMAC_SHA256
    request = SimpleNamespace(method="POST", url=f"{ORIGIN}/hook", headers={"Date": "today"})
    signer = signatures.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)
    signer.sign(request, key_id="key-1", covered_component_ids=("date",))
    verifier = signatures.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=resolver)
    assert verifier.verify(request)
    with pytest.raises(Rejected):
        ours("rfc9421-hmac-sha256", *request.headers.items())


def difference_sigv4_canonical_form(oracle: Oracle) -> None:
    """botocore: dot segments, empty segments and rows of spaces are normalised; we refuse them."""
    auth_module = oracle("botocore.auth")
    auth = auth_module.SigV4Auth(oracle("botocore.credentials").Credentials("key-1", PLAIN), "execute-api", "us-east-1")
    canonical = [
        auth.canonical_request(oracle("botocore.awsrequest").AWSRequest("POST", f"{ORIGIN}{target}", {}, BODY))
        for target in ("/hook", "//hook", "/./hook", "/x/../hook")
    ]
    assert len(set(canonical)) == 1
    for target in ("//hook", "/./hook", "/x/../hook"):
        value = (
            f"AWS4-HMAC-SHA256 Credential=key-1/{dt.datetime.now(dt.UTC):%Y%m%d}/us-east-1/execute-api/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
        )
        at = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"
        with pytest.raises(Malformed, match="is not in canonical form"):
            ours("aws-sigv4", ("X-Amz-Date", at), ("Authorization", value), target=target)


ALL = {name.removeprefix("difference_"): check for name, check in globals().items() if name.startswith("difference_")}


@pytest.mark.parametrize("name", ALL)
def test_the_difference_is_as_named(name: str, oracle: Oracle) -> None:
    ALL[name](oracle)


def test_every_difference_is_told_in_the_documentation() -> None:
    told = set(re.findall(r"^\| `([a-z0-9_]+)` \|", DIFFERENCES.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(ALL) <= told
