from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Message,
    Scheme,
    SchemeError,
    Secret,
    Verified,
    WrongSignature,
    signed_message,
    verify,
)
from tocsin.signing._origin import parse_origin

Verifier: TypeAlias = Callable[..., Verified]

SECRET = Secret(b"0123456789abcdef", "k1")
KEYS = KeyRing.of(SECRET)
NOW = 1_700_000_000
ORIGIN = "https://api.example.com"
WITH_URL = [scheme for scheme in PRESETS.values() if scheme.needs_public_origin]
DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("text", "authority", "port"),
    [
        ("https://api.example.com", "api.example.com", 443),
        ("http://api.example.com", "api.example.com", 80),
        ("https://API.example.com:443", "api.example.com", 443),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", 8000),
        ("http://[::1]:8000", "[::1]:8000", 8000),
        ("http://web_1", "web_1", 80),
    ],
)
def test_an_origin_has_an_authority_without_its_default_port(text: str, authority: str, port: int) -> None:
    origin = parse_origin(text)
    assert (origin.text, origin.authority, origin.port) == (text, authority, port)


@pytest.mark.parametrize(
    "text",
    ["api.example.com", "ftp://a", "https://a/", "https://a/b", "https://a?b", "https://u@a", "https://", "http://a:0"],
)
def test_what_is_no_origin_is_a_mistake_in_the_configuration(text: str) -> None:
    with pytest.raises(SchemeError, match="wanted http or https, a host and perhaps a port, and nothing after"):
        parse_origin(text)


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(SchemeError, match="public origin 'http://a:65536'"):
        parse_origin("http://a:65536")


@pytest.mark.parametrize("scheme", WITH_URL, ids=lambda scheme: scheme.name)
def test_without_a_public_origin_every_message_is_our_own_misuse_and_no_401(scheme: Scheme) -> None:
    """Even an unsigned one: the first request of all says what is wrong, whoever sends it."""
    for message in (Message("POST", "/", (), b""), Message("POST", "/", ((scheme.header, "junk"),), b"")):
        with pytest.raises(SchemeError, match="no public origin is configured; wanted Message"):
            verify(message, scheme, KEYS, now=NOW)


def test_the_schemes_that_sign_the_url_say_so() -> None:
    assert {scheme.name for scheme in WITH_URL} == {
        *("aws-sigv4", "hawk", "hubspot-v3", "rfc9421-hmac-sha256", "square", "twilio", "twilio-json")
    }


@pytest.mark.parametrize("scheme", WITH_URL, ids=lambda scheme: scheme.name)
def test_the_host_header_plays_no_part_and_another_origin_does_not_verify(verify: Verifier, scheme: Scheme) -> None:
    message = Message("POST", f"/hook?bodySHA256={DIGEST}", (("Host", "api.example.com"),), b"", ORIGIN)
    whole = signed_message(message, scheme, SECRET, now=NOW, nonce="n-1")
    lied = replace(whole, headers=(("Host", "evil.example"), *whole.headers[1:]))
    verify(lied, scheme, KEYS, now=NOW)
    for origin in ("https://evil.example", "http://api.example.com", "https://api.example.com:8443"):
        if scheme.name == "aws-sigv4" and origin.startswith("http:"):
            continue  # SigV4 signs the host, and neither port 80 nor 443 nor the URL scheme.
        with pytest.raises(WrongSignature):
            verify(replace(whole, public_origin=origin), scheme, KEYS, now=NOW)
