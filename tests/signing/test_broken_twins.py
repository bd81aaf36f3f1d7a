"""Verifiers with one defence removed. For each, the named test that must fail, and does."""

import hmac
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tocsin.signing import KeyRing, Malformed, Message, Parameters, Scheme, Verified, _carrier, verify
from tocsin.signing import _verify as module
from tocsin.signing._base import base_pieces
from tocsin.signing._layout import Layout, Presented


def _named_tests() -> Any:
    spec = importlib.util.spec_from_file_location("named_tests", Path(__file__).with_name("test_malleability.py"))
    assert spec is not None
    assert spec.loader is not None
    named = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(named)
    return named


NAMED = _named_tests()
real_check_tolerance = module._check_tolerance
real_read = Layout.read


def with_part(name: str, replacement: object, owner: object = module) -> Callable[..., Verified]:
    """The real verify with one of its parts replaced."""
    assert hasattr(owner, name), f"{name} is no part: the twin would fail for that"

    def twin(message: Message, scheme: Scheme, keys: KeyRing, *, now: float) -> Verified:
        with pytest.MonkeyPatch.context() as patch:
            # What it would accept by itself needs none of the parts; test_quick.py holds it to the whole.
            patch.setattr(module, "verify_quickly", lambda *_arguments: None)
            patch.setattr(module, "verify_bare", lambda *_arguments: None)
            patch.setattr(owner, name, replacement)
            return verify(message, scheme, keys, now=now)

    return twin


def only_the_past(scheme: Scheme, age_s: float) -> None:
    if age_s > 0:
        real_check_tolerance(scheme, age_s)


def by_float(text: str, _format: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Malformed("the timestamp", "is no number") from None


def decoding_the_body(message: Message, scheme: Scheme, parameters: Parameters) -> tuple[bytes, ...]:
    message.body.decode("utf-8")
    return base_pieces(message, scheme, parameters)


def any_character(layout: Layout, value: str) -> Presented:
    return layout._read_items(value.split(",")) if layout.separator else layout._read_whole(value)


def first_signature(layout: Layout, value: str) -> Presented:
    presented = real_read(layout, value)
    return Presented(presented.signatures[:1], presented.parameters)


def unpacking_every_item(layout: Layout, value: str) -> Presented:
    dict(item.split("=", 1) for item in value.split(","))
    return real_read(layout, value)


def last_timestamp(layout: Layout, value: str) -> Presented:
    items = dict(item.split("=", 1) for item in value.split(","))
    return real_read(layout, ",".join(f"{name}={text}" for name, text in items.items()))


TWINS: dict[str, tuple[Callable[..., Verified], str, tuple[Any, ...]]] = {
    "no tolerance at all": (
        with_part("_check_tolerance", lambda _scheme, _age_s: None),
        "test_a_timestamp_in_the_past_is_rejected",
        (86_400,),
    ),
    "tolerance to the past only": (
        with_part("_check_tolerance", only_the_past),
        "test_a_timestamp_in_the_future_is_rejected",
        (301,),
    ),
    "timestamps by float()": (
        with_part("parse_timestamp", by_float),
        "test_an_alias_of_the_timestamp_does_not_verify",
        ("1.7e9",),
    ),
    "compares a prefix": (
        with_part("compare_digest", lambda expected, given: expected[:8] == given[:8]),
        "test_every_character_of_a_signature_is_compared",
        (8,),
    ),
    "compares without case": (
        with_part("compare_digest", lambda expected, given: hmac.compare_digest(expected, given.lower())),
        "test_only_the_declared_case_of_hex_verifies",
        (),
    ),
    "takes the first of two fields": (
        with_part("once", lambda message, name: message.values(name)[0], _carrier),
        "test_a_signature_header_in_two_fields_is_rejected",
        (NAMED.STRIPE,),
    ),
    "does not count signed headers": (
        with_part("header_fault", lambda _message, _names: None),
        "test_a_signed_header_that_is_split_in_two_is_rejected",
        (),
    ),
    "decodes the body": (
        with_part("base_pieces", decoding_the_body),
        "test_a_body_that_is_not_utf8_verifies_as_bytes",
        (b"\xff\xfe\xfd",),
    ),
    "lets any character reach the comparison": (
        with_part("read", any_character, Layout),
        "test_a_signature_that_is_not_ascii_is_rejected_and_raises_nothing_else",
        (NAMED.STRIPE, "\u00e9"),
    ),
    "tries the first signature only": (
        with_part("read", first_signature, Layout),
        "test_every_signature_of_a_list_is_tried",
        (),
    ),
    "unpacks every item of a list": (
        with_part("read", unpacking_every_item, Layout),
        "test_junk_before_the_good_item_of_a_list_is_skipped",
        (),
    ),
    "lets the last timestamp win": (
        with_part("read", last_timestamp, Layout),
        "test_two_timestamps_in_one_list_are_rejected",
        (),
    ),
    "does not ask where a nonce ends": (
        with_part("is_delimited", lambda _text, _delimiters: True),
        "test_bytes_cannot_move_between_nonce_and_body",
        (),
    ),
}


@pytest.mark.parametrize("twin", TWINS)
def test_a_verifier_without_this_defence_is_caught_by_its_named_test(twin: str) -> None:
    broken, named_test, arguments = TWINS[twin]
    run: Callable[..., None] = getattr(NAMED, named_test)
    run(verify, *arguments)
    # A twin accepts ("DID NOT RAISE"), rejects what is right, or raises something else: each fails the named test.
    with pytest.raises((Exception, pytest.fail.Exception)):
        run(broken, *arguments)
