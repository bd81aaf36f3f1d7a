"""Verifiers with one defence of a provider's scheme removed. For each, the named test that must fail, and does."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tocsin.signing import (
    KeyRing,
    Message,
    Parameters,
    Scheme,
    Verified,
    _body_fields,
    _components,
    _content,
    _http_signatures,
    _sigv4,
    _verify,
    verify,
)
from tocsin.signing._http_signatures import SignatureCarrier
from tocsin.signing._pointer import Json, JsonPointer

real_read = SignatureCarrier.read


def _named_tests(file: str) -> Any:
    spec = importlib.util.spec_from_file_location(file, Path(__file__).with_name(f"{file}.py"))
    assert spec is not None
    assert spec.loader is not None
    named = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(named)
    return named


PROVIDERS = _named_tests("test_providers")
HTTP = _named_tests("test_http_signatures")
SIGV4 = _named_tests("test_sigv4")
ORIGIN = _named_tests("test_origin")
HAWK = _named_tests("test_hawk")


def with_part(owner: object, name: str, replacement: object) -> Callable[..., Verified]:
    """The real verify with one of its parts replaced."""
    assert hasattr(owner, name), f"{name} is no part: the twin would fail for that"

    def twin(message: Message, scheme: Scheme, keys: KeyRing, *, now: float) -> Verified:
        with pytest.MonkeyPatch.context() as patch:
            # What it would accept by itself needs none of the parts; test_quick.py holds it to the whole.
            patch.setattr(_verify, "verify_quickly", lambda *_arguments: None)
            patch.setattr(_verify, "verify_bare", lambda *_arguments: None)
            patch.setattr(owner, name, replacement)
            return verify(message, scheme, keys, now=now)

    return twin


def by_the_host_header(message: Message) -> str:
    return "https://" + message.values("Host")[0] + message.target


def wherever_it_leads(document: Json, pointer: JsonPointer) -> Json:
    return pointer.resolve(document)


def trusting_what_is_carried(_message: Message, _compiled: object, texts: dict[str, str]) -> Parameters:
    return Parameters(**texts)


def lenient_form(body: bytes) -> tuple[tuple[str, str], ...]:
    return tuple(parse_qsl(body.decode()))


def last_label(value: str, header: str) -> dict[str, str]:
    return dict(_http_signatures._split(value, header))


TWINS: dict[str, tuple[Callable[..., Verified], Callable[..., None], tuple[Any, ...], dict[str, Any]]] = {
    "does not compare a carried digest": (
        with_part(_verify, "_parameters", trusting_what_is_carried),
        HTTP.test_the_digest_is_compared_with_the_body,
        (),
        {},
    ),
    "does not compare Hawk's payload hash": (
        with_part(_verify, "_parameters", trusting_what_is_carried),
        HAWK.test_the_payload_hash_has_to_be_there_and_right,
        (),
        {},
    ),
    "lets the sender choose to sign nothing": (
        with_part(SignatureCarrier, "_counts", lambda _self, _covered: True),
        HTTP.test_a_signature_over_less_than_is_wanted_is_none,
        ("content-digest",),
        {},
    ),
    "ignores expires": (
        with_part(_verify, "_check_expiry", lambda _expires, _timestamp, _now: None),
        HTTP.test_a_sender_may_ask_for_a_shorter_life,
        (HTTP.NOW - 60, HTTP.NOW - 1),
        {"good": False},
    ),
    "tries the first signature only": (
        with_part(SignatureCarrier, "read", lambda self, message: real_read(self, message)[:1]),
        HTTP.test_every_signature_of_a_message_is_tried_and_what_is_not_for_us_is_skipped,
        (),
        {},
    ),
    "lets the last label win": (
        with_part(_http_signatures, "_members", last_label),
        HTTP.test_a_label_that_is_there_twice_is_refused,
        ("Signature-Input",),
        {},
    ),
    "takes the first of two covered fields": (
        with_part(_http_signatures, "sole", lambda values, _name: values[0]),
        HTTP.test_a_covered_field_has_to_be_there_once,
        (),
        {},
    ),
    "does not ask what else the list holds": (
        with_part(_body_fields, "_sole", wherever_it_leads),
        PROVIDERS.test_a_second_adyen_item_does_not_ride_along_unsigned,
        (),
        {},
    ),
    "does not ask where a field ends": (
        with_part(_content, "is_delimited", lambda _text, _delimiters: True),
        PROVIDERS.test_a_colon_cannot_move_between_two_adyen_fields,
        (),
        {},
    ),
    "parses forms leniently": (
        with_part(_components, "parse_form", lenient_form),
        PROVIDERS.test_nothing_that_lenient_parsers_drop_can_be_added_to_a_form,
        (b"&x",),
        {},
    ),
    "believes the Host header": (
        with_part(_components, "public_url", by_the_host_header),
        ORIGIN.test_the_host_header_plays_no_part_and_another_origin_does_not_verify,
        (PROVIDERS.PRESETS["square"],),
        {},
    ),
    "lets a body begin like a URL": (
        with_part(_components, "_ENDS_A_URL", frozenset()),
        PROVIDERS.test_nothing_can_move_between_a_signed_url_and_the_body_behind_it,
        (PROVIDERS.HUBSPOT, b""),
        {},
    ),
    "lets a URL end like a list begins": (
        with_part(_components, "_BRACKET", "\n"),
        PROVIDERS.test_nothing_can_move_between_a_signed_url_and_the_body_behind_it,
        (PROVIDERS.HUBSPOT, b'[{"eventId":1}]'),
        {},
    ),
    "lets Amazon's headers be added": (
        with_part(_sigv4, "_amazon_headers", lambda _names: []),
        SIGV4.test_headers_of_amazon_have_to_be_signed_where_they_are,
        (),
        {},
    ),
}


@pytest.mark.parametrize("twin", TWINS)
def test_a_verifier_without_this_defence_is_caught_by_its_named_test(twin: str) -> None:
    broken, named_test, arguments, options = TWINS[twin]
    named_test(verify, *arguments, **options)
    # A twin accepts ("DID NOT RAISE"), rejects what is right, or raises something else: each fails the named test.
    with pytest.raises((Exception, pytest.fail.Exception)):
        named_test(broken, *arguments, **options)
