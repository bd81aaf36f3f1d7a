"""AWS Signature Version 4: what is refused, because several requests would share its canonical form."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from tocsin.signing import (
    Duplicated,
    KeyRing,
    Malformed,
    Message,
    Missing,
    Rejected,
    SchemeError,
    Secret,
    UnknownKey,
    Verified,
    WrongDigest,
    WrongSignature,
    preset,
    sign,
    verify,
)

Verifier: TypeAlias = Callable[..., Verified]

SCHEME = preset("aws-sigv4", scope="us-east-1/service")
SECRET = Secret(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "AKIDEXAMPLE")
KEYS = KeyRing.of(SECRET)
NOW = 1_440_938_160
GET = Message("GET", "/", (), b"", "https://example.amazonaws.com")


def signed(message: Message) -> Message:
    return replace(message, headers=message.headers + sign(message, SCHEME, SECRET, now=NOW))


def edited(message: Message, old: str, new: str) -> Message:
    return replace(message, headers=tuple((name, value.replace(old, new)) for name, value in message.headers))


# The cases of the AWS test suite whose request has another canonical form than its own.
NOT_CANONICAL = {
    "get-slash": "//",
    "get-slashes": "//example//",
    "get-slash-dot-slash": "/./",
    "get-slash-pointless-dot": "/./example",
    "get-relative": "/example/..",
    "get-relative-relative": "/example1/example2/../..",
    "get-utf8, its request line raw": "/\u1234",
    "get-space, its request line raw": "/?a b=1",
    "a query with a name alone": "/?acl",
    "a plus in the query": "/?a=b+c",
    "an escape in lower case": "/?a=%2f",
    "an equals sign in a value": "/?a=b=c",
    "an empty pair": "/?a=1&",
    "no path": "",
}


@pytest.mark.parametrize("target", NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_a_request_that_is_not_canonical_is_neither_signed_nor_verified(target: str) -> None:
    message = replace(GET, target=target)
    with pytest.raises(SchemeError, match="the message cannot be signed"):
        sign(message, SCHEME, SECRET, now=NOW)
    with pytest.raises(Malformed):
        verify(replace(signed(GET), target=target), SCHEME, KEYS, now=NOW)


# get-header-key-duplicate and get-header-value-order, get-header-value-trim, get-header-value-multiline
@pytest.mark.parametrize("value", [" value1", "value1 ", "a   b", "a\tb"])
def test_a_signed_header_with_spaces_that_canonical_form_drops_is_refused(value: str) -> None:
    scheme = replace(SCHEME, covered=("host", "my-header1", "x-amz-date"))
    with pytest.raises(SchemeError, match="header my-header1 is not in canonical form"):
        sign(replace(GET, headers=(("My-Header1", value),)), scheme, SECRET, now=NOW)


def test_a_signed_header_is_there_once() -> None:
    scheme = replace(SCHEME, covered=("host", "my-header1", "x-amz-date"))
    message = replace(GET, headers=(("My-Header1", "a"),))
    whole = replace(message, headers=message.headers + sign(message, scheme, SECRET, now=NOW))
    verify(whole, scheme, KEYS, now=NOW)
    verify(whole, SCHEME, KEYS, now=NOW)
    with pytest.raises(Duplicated):
        verify(replace(whole, headers=(*whole.headers, ("my-header1", "b"))), scheme, KEYS, now=NOW)
    with pytest.raises(Missing):
        verify(replace(whole, headers=whole.headers[1:]), scheme, KEYS, now=NOW)


def test_headers_of_amazon_have_to_be_signed_where_they_are(verify: Verifier) -> None:
    with pytest.raises(Malformed, match="header x-amz-target is there and not signed"):
        verify(replace(signed(GET), headers=(*signed(GET).headers, ("X-Amz-Target", "t"))), SCHEME, KEYS, now=NOW)
    whole = signed(replace(GET, headers=(("X-Amz-Target", "t"),)))
    assert "SignedHeaders=host;x-amz-date;x-amz-target," in whole.values("Authorization")[0]
    verify(whole, SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize(
    "listed", ["host", "x-amz-date", "X-Amz-Date;host", "host;x-amz-date;date", "host;;x-amz-date"]
)
def test_a_list_of_signed_headers_that_lacks_something_or_is_not_canonical_is_refused(listed: str) -> None:
    with pytest.raises(Malformed):
        verify(edited(signed(GET), "host;x-amz-date", listed), SCHEME, KEYS, now=NOW)


def test_a_twice_listed_header_is_refused() -> None:
    with pytest.raises(Malformed, match="lower case, sorted, each once"):
        verify(edited(signed(GET), "host;x-amz-date", "host;host;x-amz-date"), SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize(("more", "good"), [(62, True), (63, False)])
def test_at_most_64_headers_are_listed(*, more: int, good: bool) -> None:
    names = tuple(f"h{number:02}" for number in range(more))
    scheme = replace(SCHEME, covered=(*names, "host", "x-amz-date"))
    message = replace(GET, headers=tuple((name, "") for name in names))
    if good:
        whole = replace(message, headers=message.headers + sign(message, scheme, SECRET, now=NOW))
        verify(whole, scheme, KEYS, now=NOW)
    else:
        with pytest.raises(SchemeError, match="the list of signed headers has 65 names; wanted at most 64"):
            sign(message, scheme, SECRET, now=NOW)


def test_headers_are_looked_through_as_often_for_sixty_names_as_for_one(walked: Callable[..., Any]) -> None:
    """What is asked before the key is known costs no more than the request is long."""
    walks = []
    for number in (1, 60):
        names = tuple(f"h{each:02}" for each in range(number))
        whole = signed(replace(GET, headers=tuple((name, "") for name in names)))
        listed = edited(whole, "SignedHeaders=host", f"SignedHeaders={';'.join((*names, 'host'))}")
        headers = walked(listed.headers)
        with pytest.raises(WrongSignature):
            verify(replace(listed, headers=headers), SCHEME, KEYS, now=NOW)
        walks.append(headers.walks)
    assert walks[0] == walks[1]


def test_an_unknown_key_is_refused_before_anything_else_is_looked_at() -> None:
    stranger = edited(signed(GET), "Credential=AKIDEXAMPLE", "Credential=nobody")
    with pytest.raises(UnknownKey):
        verify(replace(stranger, target="//"), SCHEME, KEYS, now=NOW)


def test_a_declared_payload_hash_has_to_be_right() -> None:
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    verify(signed(replace(GET, headers=(("X-Amz-Content-Sha256", digest),))), SCHEME, KEYS, now=NOW)
    with pytest.raises(SchemeError, match="is not the digest of the body"):
        signed(replace(GET, headers=(("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),)))
    whole = signed(replace(GET, headers=(("X-Amz-Content-Sha256", digest),)))
    with pytest.raises(WrongDigest, match="header x-amz-content-sha256 is not the digest of the body"):
        verify(replace(whole, body=b"other"), SCHEME, KEYS, now=NOW)


def test_the_date_of_the_credential_is_the_day_of_the_timestamp() -> None:
    with pytest.raises(Malformed, match="the date is not the day of the timestamp"):
        verify(edited(signed(GET), "/20150830/", "/20150831/"), SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize("scope", ["us-east-2/service", "us-east-1/other"])
def test_a_signature_for_another_region_or_service_does_not_verify(scope: str) -> None:
    with pytest.raises(Malformed):
        verify(signed(GET), replace(SCHEME, scope=scope), KEYS, now=NOW)
    renamed = edited(signed(GET), "us-east-1/service", scope)
    with pytest.raises(WrongSignature):
        verify(renamed, replace(SCHEME, scope=scope), KEYS, now=NOW)


def test_another_day_has_another_key() -> None:
    """The same base under the key of another day: the derived key is not remembered per secret."""
    tomorrow = replace(GET, headers=sign(GET, SCHEME, SECRET, now=NOW + 86_400))
    verify(tomorrow, SCHEME, KEYS, now=NOW + 86_400)
    verify(signed(GET), SCHEME, KEYS, now=NOW)
    with pytest.raises(Rejected):
        verify(tomorrow, SCHEME, KEYS, now=NOW)


def test_unsigned_headers_are_not_covered_and_the_rest_is() -> None:
    assert not SCHEME.covers("header:Content-Type")
    for component in ("method", "path", "query", "url", "body", "timestamp", "header:host"):
        assert SCHEME.covers(component)
