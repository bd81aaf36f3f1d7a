import pytest

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Message,
    Parameters,
    Scheme,
    SchemeError,
    Secret,
    attach,
    compute_signature,
    make_parameters,
    sign,
    verify,
)

SECRET = Secret(b"0123456789abcdef", "k1")
NOW = 1_700_000_000
WITH_NONCE = Scheme(
    name="with-nonce",
    content="{timestamp}.{nonce}.{body}",
    timestamp_header="X-Time",
    timestamp_format="iso8601",
    nonce_header="X-Nonce",
)
MESSAGE = Message("POST", "/order", (("Idempotency-Key", "order-17"),), b"{}")


def test_parameters_stand_in_their_own_headers_before_the_signature() -> None:
    headers = sign(MESSAGE, WITH_NONCE, SECRET, now=NOW, nonce="n-1")
    assert headers[:2] == (("X-Time", "2023-11-14T22:13:20Z"), ("X-Nonce", "n-1"))
    assert headers[2][0] == "X-Signature"


def test_a_nonce_that_the_scheme_does_not_send_is_left_out() -> None:
    assert sign(MESSAGE, PRESETS["github"], SECRET, now=NOW, nonce="n-1") == sign(
        MESSAGE, PRESETS["github"], SECRET, now=NOW
    )


@pytest.mark.parametrize(
    ("scheme", "secret", "kind"), [(WITH_NONCE, SECRET, "nonce"), (PRESETS["tocsin-v1"], Secret(b"0" * 16), "key_id")]
)
def test_what_a_scheme_sends_must_be_given(scheme: Scheme, secret: Secret, kind: str) -> None:
    with pytest.raises(SchemeError, match=f"sends a {kind}, and none is given"):
        sign(MESSAGE, scheme, secret, now=NOW)


@pytest.mark.parametrize("nonce", ["", "a b", "a\nb", "\u00e9", "a" * 256])
def test_a_nonce_is_visible_ascii(nonce: str) -> None:
    with pytest.raises(SchemeError, match="wanted 1 to 255 visible ASCII"):
        sign(MESSAGE, WITH_NONCE, SECRET, now=NOW, nonce=nonce)


def test_signing_twice_is_refused_instead_of_sending_two_signatures() -> None:
    headers = sign(MESSAGE, PRESETS["tocsin-v1"], SECRET, now=NOW)
    signed = Message("POST", "/order", MESSAGE.headers + headers, b"{}")
    with pytest.raises(SchemeError, match="already has header Tocsin-Signature"):
        sign(signed, PRESETS["tocsin-v1"], SECRET, now=NOW)


@pytest.mark.parametrize("count", [0, 2])
def test_a_signed_header_must_be_there_once(count: int) -> None:
    message = Message("POST", "/order", (("idempotency-key", "a"),) * count, b"")
    with pytest.raises(SchemeError, match=f"signs header Idempotency-Key, which the message has {count} times"):
        sign(message, PRESETS["tocsin-v1"], SECRET, now=NOW)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message("PO\nST", "/", (("Idempotency-Key", "a"),), b""), "the method holds a line break"),
        (Message("POST", "/\u20ac", (("Idempotency-Key", "a"),), b""), "the path holds a character that is no octet"),
        (Message("POST", "/", (("Idempotency-Key", "a\0"),), b""), "header Idempotency-Key holds a line break or NUL"),
    ],
)
def test_a_message_that_no_wire_carries_is_not_signed(message: Message, reason: str) -> None:
    with pytest.raises(SchemeError, match=f"cannot be signed: {reason}"):
        sign(message, PRESETS["tocsin-v1"], SECRET, now=NOW)


def test_the_full_url_needs_a_configured_origin() -> None:
    scheme = Scheme(name="url", content="{url}{body}")
    with pytest.raises(SchemeError, match="no public origin is configured"):
        sign(MESSAGE, scheme, SECRET, now=NOW)
    origin = Message("POST", "/order", (("Host", "evil.example"),), b"{}", "https://api.example.com")
    signed = Message(
        "POST", "/order", origin.headers + sign(origin, scheme, SECRET, now=NOW), b"{}", "https://api.example.com"
    )
    verify(signed, scheme, KeyRing.of(SECRET), now=NOW)


def test_any_text_can_be_attached_where_a_signature_would_stand() -> None:
    parameters = make_parameters(PRESETS["stripe"], now=NOW)
    assert attach(PRESETS["stripe"], "", parameters) == (("Stripe-Signature", "t=1700000000,v1="),)
    assert attach(PRESETS["stripe"], "caf\u00e9", parameters) == (("Stripe-Signature", "t=1700000000,v1=caf\u00e9"),)
    assert attach(PRESETS["github"], "A" * 9999, Parameters())[0][1] == "sha256=" + "A" * 9999


def test_attaching_without_what_the_scheme_sends_is_refused() -> None:
    with pytest.raises(SchemeError, match="stripe sends a timestamp, and none is given"):
        attach(PRESETS["stripe"], "x", Parameters())


@pytest.mark.parametrize("text", ["a\r\nX-Admin: 1", "a\nb", "\0", "\u20ac"])
def test_no_text_can_break_out_of_its_header(text: str) -> None:
    with pytest.raises(SchemeError, match="header X-Hub-Signature-256 holds"):
        attach(PRESETS["github"], text, Parameters())


def test_attaching_a_computed_signature_is_signing() -> None:
    parameters = make_parameters(PRESETS["tocsin-v1"], now=NOW, key_id="k1")
    text = compute_signature(MESSAGE, PRESETS["tocsin-v1"], SECRET, parameters)
    assert attach(PRESETS["tocsin-v1"], text, parameters) == sign(MESSAGE, PRESETS["tocsin-v1"], SECRET, now=NOW)


@pytest.mark.parametrize(
    ("scheme", "nonce"),
    [
        (Scheme(name="list", content="{nonce}.{body}", value="n={nonce},v1={signature}", item_separator=","), "a,b"),
        (Scheme(name="list", content="{nonce}.{body}", value="n={nonce},v1={signature}", item_separator=","), "a,n=b"),
        (Scheme(name="whole", content="{nonce}.{body}", value="n={nonce};{signature}"), "a;b"),
    ],
)
def test_a_nonce_that_ends_early_in_its_header_is_refused(scheme: Scheme, nonce: str) -> None:
    with pytest.raises(SchemeError, match="cannot be read back"):
        sign(MESSAGE, scheme, SECRET, now=NOW, nonce=nonce)
