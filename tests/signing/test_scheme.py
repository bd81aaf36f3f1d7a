from dataclasses import FrozenInstanceError, replace
from hashlib import sha256
from typing import Any

import pytest

from tocsin.signing import PRESETS, Message, MessageId, Missing, Parameters, Scheme, SchemeError, signature_base

EVERYTHING = Scheme(
    name="everything",
    content="{method} {url} {timestamp} {nonce} {key_id} {header:X-Event}\n{body_sha256}",
    timestamp_header="X-Time",
    nonce_header="X-Nonce",
    key_id_header="X-Key",
    id_header="X-Delivery",
    encoding="base64",
    hash="sha512",
)


def test_a_declaration_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESETS["github"].header = "X-Other"  # type: ignore[misc]


def test_equal_declarations_are_equal_and_hash_alike() -> None:
    copy = replace(EVERYTHING)
    assert copy == EVERYTHING
    assert hash(copy) == hash(EVERYTHING)
    assert replace(EVERYTHING, header="X-Other") != EVERYTHING


def test_a_scheme_tells_a_scanner_what_it_sends_and_where() -> None:
    assert EVERYTHING.written_headers == ("X-Time", "X-Nonce", "X-Key", "X-Signature")
    assert (EVERYTHING.has_timestamp, EVERYTHING.has_nonce, EVERYTHING.has_key_id) == (True, True, True)
    assert EVERYTHING.signature_length == 88
    assert EVERYTHING.signature_prefix == ""
    stripe = PRESETS["stripe"]
    assert stripe.written_headers == ("Stripe-Signature",)
    assert (stripe.has_timestamp, stripe.has_nonce, stripe.has_key_id) == (True, False, False)
    assert stripe.signature_length == 64
    assert stripe.signature_prefix == "v1="


@pytest.mark.parametrize(
    ("component", "covered"),
    [
        ("method", True),
        ("path", True),
        ("query", True),
        ("url", True),
        ("body", True),
        ("timestamp", True),
        ("nonce", True),
        ("key_id", True),
        ("header:x-event", True),
        ("header:Content-Type", False),
        ("id", False),
    ],
)
def test_coverage_follows_from_the_content(component: str, *, covered: bool) -> None:
    assert EVERYTHING.covers(component) is covered


def test_the_delivery_id_is_covered_only_if_the_content_says_so() -> None:
    assert not PRESETS["github"].covers("id")
    assert not PRESETS["stripe"].covers("id")
    assert Scheme(name="x", content="{header:x-delivery}.{body}", id_header="X-Delivery").covers("id")


def test_components_are_listed_in_order() -> None:
    assert PRESETS["tocsin-v1"].covered_components == (
        "timestamp",
        "key_id",
        "method",
        "path",
        "query",
        "header:Idempotency-Key",
        "body_sha256",
    )
    assert PRESETS["tocsin-v1"].covered_headers == ("Idempotency-Key",)


def test_the_base_is_the_content_filled_in() -> None:
    message = Message("POST", "/a%20b?x=%C3%A9", (("x-event", "caf\u00e9"),), b"\xff\0", "https://api.example.com")
    base = signature_base(message, EVERYTHING, Parameters(timestamp="17", nonce="n-1", key_id="k1"))
    digest = sha256(b"\xff\0").hexdigest().encode()
    assert base == b"POST https://api.example.com/a%20b?x=%C3%A9 17 n-1 k1 caf\xe9\n" + digest


def test_the_base_wants_every_parameter_that_the_content_names() -> None:
    with pytest.raises(Missing, match="the key id is missing"):
        signature_base(Message("POST", "/", (), b""), PRESETS["tocsin-v1"], Parameters(timestamp="17"))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"hash": "md5"}, "unknown hash 'md5'"),
    ({"hash": "sha1"}, "hash = 'sha1': wanted sha256, or allow_sha1"),
    ({"encoding": "hexx"}, r"unknown encoding 'hexx'; did you mean 'hex'\?"),
    ({"timestamp_format": "unixms"}, "did you mean 'unix_ms'"),
    ({"tolerance_past_s": -1}, "tolerance_past_s = -1"),
    ({"tolerance_future_s": float("inf")}, "tolerance_future_s = inf"),
    ({"tolerance_future_s": float("nan")}, "tolerance_future_s = nan"),
    ({"header": "X Signature"}, "wanted a field name"),
    ({"header": ""}, "wanted a field name"),
    ({"id_header": "X-Signature"}, "one name is used for two things"),
    ({"timestamp_header": "x-signature"}, "one name is used for two things"),
    ({"content": "{boddy}"}, "did you mean 'body'"),
    ({"content": "v1"}, "signs nothing"),
    ({"content": ""}, "signs nothing"),
    ({"content": "{body}{body}"}, "signs a component twice"),
    ({"content": "{header:X-A}{header:x-a}"}, "signs a component twice"),
    ({"content": "\ud800{body}"}, "lone surrogate"),
    ({"content": "{timestamp}.{body}"}, "content signs {timestamp}, which nothing carries; wanted timestamp_header"),
    ({"content": "{nonce}.{body}"}, "content signs {nonce}, which nothing carries"),
    ({"content": "{key_id}.{body}"}, "content signs {key_id}, which nothing carries"),
    (
        {"value": "{timestamp},{signature}", "timestamp_header": "X-Time"},
        "the timestamp stands in two of value, timestamp_header",
    ),
    ({"content": "{header:x-signature}{body}"}, "which signing writes"),
    ({"content": "{header:X-Time}{body}", "timestamp_header": "X-Time"}, "wanted its placeholder"),
    ({"message_id": MessageId(pointer="/id"), "content": "{path}"}, "the content does not cover the body"),
    ({"message_id": MessageId(header="X-Id")}, "header X-Id is not signed, so anybody could"),
    (
        {"message_id": MessageId(header="X-Id"), "content": "{header:X-Id}{body}"},
        "nothing separates {header:X-Id} from the components beside it",
    ),
    (
        {"message_id": MessageId(header="X-Id"), "content": "{body}{header:X-Id}"},
        "nothing separates {header:X-Id} from the components beside it",
    ),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG, ids=[ascii(fields) for fields, _reason in WRONG])
def test_a_wrong_declaration_is_refused_when_it_is_made(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        Scheme(name="wrong", **fields)


def test_sha1_needs_an_explicit_word() -> None:
    assert Scheme(name="old", hash="sha1", allow_sha1=True).signature_length == 40


def test_body_digest_counts_as_the_body_for_a_message_id() -> None:
    assert Scheme(name="x", content="{body_sha256}", message_id=MessageId(pointer="/id")).covers("body")
