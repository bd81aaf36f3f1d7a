"""HTTP Message Signatures (RFC 9421) with hmac-sha256: what the verifier demands of it."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from tocsin.signing import (
    PRESETS,
    Duplicated,
    KeyRing,
    Malformed,
    Message,
    Missing,
    OutsideTolerance,
    Parameters,
    Rejected,
    Scheme,
    SchemeError,
    Secret,
    UnknownKey,
    Verified,
    WrongDigest,
    WrongSignature,
    sign,
    signature_base,
    verify,
)

Verifier: TypeAlias = Callable[..., Verified]

SCHEME = PRESETS["rfc9421-hmac-sha256"]
SECRET = Secret(b"0123456789abcdef", "k1")
KEYS = KeyRing.of(SECRET)
NOW = 1_700_000_000
ORDER = Message("POST", "/order?x=1", (("Date", "today"),), b'{"a":1}', "https://api.example.com")
VALUES = {
    "@method": "POST",
    "@target-uri": "https://api.example.com/order?x=1",
    "@authority": "api.example.com",
    "@scheme": "https",
    "@request-target": "/order?x=1",
    "@path": "/order",
    "@query": "?x=1",
    "date": "today",
    "content-digest": "sha-256=:AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX+GI=:",
}
WANTED = ("@method", "@target-uri", "content-digest")


def by_hand(
    components: tuple[str, ...] = WANTED,
    *,
    parameters: str = f';created={NOW};keyid="k1"',
    label: str = "sig1",
    message: Message = ORDER,
    values: dict[str, str] = VALUES,
) -> Message:
    """A message signed as the RFC says, without any of our code but the MAC."""
    covered = "(" + " ".join(f'"{name}"' for name in components) + ")" + parameters
    base = "".join(f'"{name}": {values[name]}\n' for name in components) + f'"@signature-params": {covered}'
    mac = b64encode(SECRET.keyed("sha256").digest([base.encode()])).decode()
    headers = (
        ("Content-Digest", values["content-digest"]),
        ("Signature-Input", f"{label}={covered}"),
        ("Signature", f"{label}=:{mac}:"),
    )
    return replace(message, headers=message.headers + headers)


def with_header(message: Message, name: str, value: str) -> Message:
    return replace(message, headers=tuple((given, value if given == name else old) for given, old in message.headers))


def test_signing_writes_what_is_written_by_hand() -> None:
    assert ORDER.headers + sign(ORDER, SCHEME, SECRET, now=NOW) == by_hand().headers


@pytest.mark.parametrize("extra", [name for name in VALUES if name not in WANTED])
def test_a_sender_may_cover_more_and_in_another_order(extra: str) -> None:
    for components in ((*WANTED, extra), (extra, *reversed(WANTED))):
        verify(by_hand(components), SCHEME, KEYS, now=NOW)


def test_label_nonce_tag_and_other_parameters_are_the_senders_choice() -> None:
    parameters = f';nonce="n-1";tag="app";alg="hmac-sha256";keyid="k1";x=0;created={NOW}'
    verified = verify(by_hand(label="*my.label-1", parameters=parameters), SCHEME, KEYS, now=NOW)
    assert (verified.timestamp_unix, verified.key_id) == (NOW, "k1")


@pytest.mark.parametrize(("more", "good"), [(61, True), (62, False)])
def test_a_signature_covers_at_most_64_components(*, more: int, good: bool) -> None:
    names = tuple(f"h{number}" for number in range(more))
    whole = by_hand((*WANTED, *names), values={**VALUES, **dict.fromkeys(names, "")})
    whole = replace(whole, headers=(*whole.headers, *[(name, "") for name in names]))
    if good:
        verify(whole, SCHEME, KEYS, now=NOW)
    else:
        with pytest.raises(Malformed, match=r"has 0 signatures; wanted .* each over at most 64 components"):
            verify(whole, SCHEME, KEYS, now=NOW)


def test_headers_are_looked_through_as_often_for_sixty_components_as_for_one(walked: Callable[..., Any]) -> None:
    walks = []
    for number in (1, 60):
        names = tuple(f"h{each}" for each in range(number))
        whole = by_hand((*WANTED, *names), values={**VALUES, **dict.fromkeys(names, "")})
        headers = walked((*whole.headers, *[(name, "") for name in names]))
        verify(replace(whole, headers=headers), SCHEME, KEYS, now=NOW)
        walks.append(headers.walks)
    assert walks[0] == walks[1]


@pytest.mark.parametrize("lacks", WANTED)
def test_a_signature_over_less_than_is_wanted_is_none(verify: Verifier, lacks: str) -> None:
    with pytest.raises(Malformed, match="has 0 signatures; wanted 1 to 8, by hmac-sha256 over @method"):
        verify(by_hand(tuple(name for name in WANTED if name != lacks)), SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize(
    "parameters",
    [
        f";created={NOW}",
        ';keyid="k1"',
        f';created={NOW};keyid="k1";alg="hmac-sha512"',
        f';created={NOW};keyid="k1";alg="ed25519"',
        f';created={NOW};created={NOW};keyid="k1"',
        f';created={NOW}; keyid="k1"',
        f';created={NOW};keyid="k\\"1"',
        f';created=0{NOW};keyid="k1"',
        f';created={NOW};keyid="k1";flag',
        f';created={NOW};keyid="k1";flag=?1',
    ],
)
def test_parameters_that_are_missing_doubled_or_spelled_otherwise_are_no_signature(
    verify: Verifier, parameters: str
) -> None:
    with pytest.raises(Rejected):
        verify(by_hand(parameters=parameters), SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize("components", [(*WANTED, "@method"), (*WANTED, "@status"), (*WANTED, "Date")])
def test_a_component_that_is_there_twice_or_that_no_request_has_is_refused(components: tuple[str, ...]) -> None:
    with pytest.raises(Malformed):
        verify(by_hand(components, values={**VALUES, "@status": "200", "Date": "today"}), SCHEME, KEYS, now=NOW)


def test_a_covered_field_has_to_be_there_once(verify: Verifier) -> None:
    whole = by_hand((*WANTED, "date"))
    with pytest.raises(Missing, match="header date"):
        verify(replace(whole, headers=whole.headers[1:]), SCHEME, KEYS, now=NOW)
    with pytest.raises(Duplicated, match="header date"):
        verify(replace(whole, headers=(("date", "today"), *whole.headers)), SCHEME, KEYS, now=NOW)


def test_the_digest_is_compared_with_the_body(verify: Verifier) -> None:
    """The signature is right, over a digest that is not that of the body."""
    with pytest.raises(WrongDigest):
        verify(replace(by_hand(), body=b"other"), SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize(
    ("digest", "good"),
    [
        ("sha-256={right}, md5=:YQ==:", True),
        ("md5=:YQ==:,sha-256={right}", True),
        ("sha-512={right512}", True),
        ("sha-256={right}, sha-512={right512}", True),
        ("sha-256={right}, sha-512=:YQ==:", False),
        ("sha-256=:YQ==:, sha-512={right512}", False),
        ("md5=:YQ==:", False),
        ("", False),
        ("sha-256", False),
        ("SHA-256={right}", False),
    ],
)
def test_every_known_digest_has_to_be_right_and_one_has_to_be_there(
    verify: Verifier, digest: str, *, good: bool
) -> None:
    right = {
        "right": f":{b64encode(hashlib.sha256(ORDER.body).digest()).decode()}:",
        "right512": f":{b64encode(hashlib.sha512(ORDER.body).digest()).decode()}:",
    }
    message = by_hand(values={**VALUES, "content-digest": digest.format(**right)})
    if good:
        verify(message, SCHEME, KEYS, now=NOW)
    else:
        with pytest.raises(WrongDigest):
            verify(message, SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize(
    ("created", "expires", "good"),
    [(NOW - 60, NOW, True), (NOW - 60, NOW - 1, False), (NOW, NOW - 1, False), (NOW - 60, 0, False)],
)
def test_a_sender_may_ask_for_a_shorter_life(verify: Verifier, created: int, expires: int, *, good: bool) -> None:
    message = by_hand(parameters=f';created={created};expires={expires};keyid="k1"')
    if good:
        verify(message, SCHEME, KEYS, now=NOW)
    else:
        with pytest.raises(OutsideTolerance):
            verify(message, SCHEME, KEYS, now=NOW)


def test_expires_does_not_make_an_old_signature_young() -> None:
    with pytest.raises(OutsideTolerance):
        verify(by_hand(parameters=f';created={NOW - 301};expires={NOW + 9};keyid="k1"'), SCHEME, KEYS, now=NOW)


def test_every_signature_of_a_message_is_tried_and_what_is_not_for_us_is_skipped(verify: Verifier) -> None:
    whole = by_hand()
    given, mac = whole.values("Signature-Input")[0], whole.values("Signature")[0]
    others = {
        'x=("@method";req "date";key="a");created=1;tag="a\\"b"': "x=:YQ==:",
        'x=("@method" "@target-uri" "content-digest");created=1;keyid="k1"': "x=:" + "A" * 43 + "=:",
        'x=("@method" "@target-uri" "content-digest");created=1;keyid="other"': "x=:" + "A" * 43 + "=:",
        "x=1.5;a=?0;b=tok/en:1;c=:YQ==:": "x",
        "x": "y=1",
        "x=( )": "x=:YQ==:",
    }
    for text, other in others.items():
        for inputs, macs in ((f"{text}, {given}", f"{other}, {mac}"), (f"{given} ,{text}", f"{mac} , {other}")):
            verify(with_header(with_header(whole, "Signature-Input", inputs), "Signature", macs), SCHEME, KEYS, now=NOW)


def test_the_first_fault_is_named_where_no_signature_fits() -> None:
    whole = by_hand(parameters=f';created={NOW};keyid="other"')
    two = whole.values("Signature-Input")[0]
    more = with_header(whole, "Signature-Input", f"{two}, b={two[5:].replace('other', 'k1')}")
    more = with_header(more, "Signature", f"sig1=:{'A' * 43}=:, b=:{'A' * 43}=:")
    with pytest.raises(UnknownKey, match="'other'"):
        verify(more, SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize("name", ["Signature-Input", "Signature"])
@pytest.mark.parametrize("value", ["", "=", "sig1=(", "sig1=()x", "a=1,", "a=1,,b=2", "a=1;", '"a"', "\u00e9", "A=1"])
def test_a_field_that_is_no_dictionary_is_malformed(name: str, value: str) -> None:
    with pytest.raises(Malformed):
        verify(with_header(by_hand(), name, value), SCHEME, KEYS, now=NOW)


@pytest.mark.parametrize("name", ["Signature-Input", "Signature"])
def test_a_label_that_is_there_twice_is_refused(verify: Verifier, name: str) -> None:
    whole = by_hand()
    with pytest.raises(Duplicated, match="a label in header"):
        verify(with_header(whole, name, ", ".join(whole.values(name) * 2)), SCHEME, KEYS, now=NOW)


def test_a_base_is_only_computed_over_a_canonical_list() -> None:
    with pytest.raises(Malformed, match="is not in canonical form"):
        signature_base(ORDER, SCHEME, Parameters(covered="()"))


def test_nine_signatures_are_too_many_to_try() -> None:
    whole = by_hand()
    covered, mac = whole.values("Signature-Input")[0][5:], whole.values("Signature")[0][5:]
    labels = [f"s{number}" for number in range(9)]
    many = with_header(whole, "Signature-Input", ", ".join(f"{label}={covered}" for label in labels))
    many = with_header(many, "Signature", ", ".join(f"{label}={mac}" for label in labels))
    with pytest.raises(Malformed, match="has 9 signatures; wanted 1 to 8"):
        verify(many, SCHEME, KEYS, now=NOW)


def test_another_signature_under_the_label_does_not_verify() -> None:
    with pytest.raises(WrongSignature):
        verify(with_header(by_hand(), "Signature", f"sig1=:{'A' * 43}=:"), SCHEME, KEYS, now=NOW)


def test_what_is_covered_follows_from_what_is_wanted() -> None:
    for component in ("method", "url", "path", "query", "body", "timestamp", "key_id", "header:Content-Digest"):
        assert SCHEME.covers(component)
    assert not SCHEME.covers("header:Date")
    loose = replace(SCHEME, covered=("@method", "@path", "date"), digest=None, digest_header=None)
    assert loose.covered_components == ("timestamp", "key_id", "method", "path", "header:date")
    assert not loose.covers("body")
    verify(replace(ORDER, headers=ORDER.headers + sign(ORDER, loose, SECRET, now=NOW)), loose, KEYS, now=NOW)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"covered": ("@method",)}, "the digest is carried and not signed"),
        ({"digest": None}, "digest = None: wanted how it is spelled"),
        ({"digest_header": None}, "digest = 'rfc9530': wanted how it is spelled, and a place"),
        ({"digest": "md5"}, "unknown digest 'md5'"),
    ],
)
def test_a_wrong_declaration_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        replace(SCHEME, **fields)


def test_what_a_content_needs_has_to_be_carried() -> None:
    with pytest.raises(SchemeError, match=r"needs \{covered\} in the value"):
        Scheme(name="x", content="{timestamp}{aws4_request_sha256}", timestamp_header="X-Time")
    with pytest.raises(SchemeError, match="unknown key_derivation 'aws5'"):
        Scheme(name="x", key_derivation="aws5")
