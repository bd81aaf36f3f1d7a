import math
from collections.abc import Container
from typing import Any

import pytest

from tests.guard.shop import HEX, SECRET
from tocsin.guard._declare import (
    API_STATUSES,
    WEBHOOK_STATUSES,
    Options,
    check_scheme,
    declare,
    key_rule,
    separates_routes,
)
from tocsin.guard._errors import GuardError
from tocsin.guard._fingerprint import Fingerprint
from tocsin.guard._keys import KeyRule, body_digest
from tocsin.guard._operation import Operation
from tocsin.signing import KeyRing, MessageId, Scheme, SchemeError, Secret, json_pointer, preset

KEYS = KeyRing.of(SECRET)
POINTER = json_pointer("/order_id")
GITHUB, STRIPE, TOCSIN = preset("github"), preset("stripe"), preset("tocsin-v1")
MAILGUN = Scheme(name="mailgun-like", content="{timestamp}", timestamp_header="X-Timestamp")
URL = Scheme(name="url", content="{url}{body}")


def declared(scheme: Scheme, rule: KeyRule | None = None, **options: Any) -> Operation:
    rule = key_rule(scheme, None) if rule is None else rule
    return declare("/order", scheme=scheme, keys=KEYS, rule=rule, options=Options(**options), keep=None, seal=None)


def check(scheme: Scheme, *, public_origin: str = "", unsigned_body: bool = False) -> None:
    check_scheme(scheme, KEYS, public_origin=public_origin, unsigned_body=unsigned_body)


def test_a_scheme_that_leaves_the_body_unsigned_is_refused() -> None:
    """Anybody could put another body under a captured signature."""
    with pytest.raises(GuardError, match=r"'mailgun-like' does not sign the body.*unsigned_body=True"):
        check(MAILGUN)
    check(MAILGUN, unsigned_body=True)


def test_a_scheme_that_signs_the_url_wants_to_know_it() -> None:
    with pytest.raises(GuardError, match="wanted public_origin"):
        check(URL)
    check(URL, public_origin="https://api.example.com")


def test_a_ring_that_cannot_serve_the_scheme_is_refused() -> None:
    with pytest.raises(SchemeError, match="key id"):
        check_scheme(TOCSIN, KeyRing.of(Secret(b"a secret without a key id")), public_origin="", unsigned_body=False)


@pytest.mark.parametrize("scheme", [GITHUB, HEX], ids=lambda scheme: scheme.name)
def test_where_nothing_signed_identifies_a_message_the_developer_has_to_say_what_does(scheme: Scheme) -> None:
    """Equal bodies can be honest repeats, so the digest of the body is no silent default."""
    with pytest.raises(GuardError, match=r"signs no message id.*json_pointer.*body_digest\(days"):
        key_rule(scheme, None)
    assert key_rule(scheme, POINTER) == POINTER
    assert key_rule(scheme, body_digest(days=3)) == body_digest(days=3)


@pytest.mark.parametrize("key", [POINTER, body_digest(days=3)], ids=["pointer", "digest"])
def test_a_key_from_an_unsigned_part_is_refused(key: Any) -> None:
    with pytest.raises(GuardError, match="wanted a signed part"):
        key_rule(MAILGUN, key)


@pytest.mark.parametrize("scheme", [STRIPE, TOCSIN], ids=lambda scheme: scheme.name)
def test_the_schemes_message_id_is_the_default_key(scheme: Scheme) -> None:
    assert key_rule(scheme, None) == scheme.message_id


@pytest.mark.parametrize(
    ("scheme", "rule", "statuses"),
    [
        (STRIPE, None, WEBHOOK_STATUSES),
        (STRIPE, POINTER, WEBHOOK_STATUSES),
        (GITHUB, body_digest(days=3), WEBHOOK_STATUSES),
        (HEX, body_digest(days=3), WEBHOOK_STATUSES),
        (HEX, MessageId(pointer="/id"), WEBHOOK_STATUSES),
        (HEX, POINTER, API_STATUSES),
        (TOCSIN, None, API_STATUSES),
        (TOCSIN, POINTER, API_STATUSES),
    ],
)
def test_webhooks_remember_successes_and_apis_refusals_too(
    scheme: Scheme, rule: KeyRule | None, statuses: Container[int]
) -> None:
    """A provider retries a 404 for days until the order exists; a client reads its 404."""
    assert declared(scheme, rule).remember == statuses


def test_the_default_statuses_are_those_of_the_rules() -> None:
    assert set(WEBHOOK_STATUSES) == set(range(200, 400))
    assert set(range(200, 500)) - API_STATUSES == {408, 423, 425, 429}


@pytest.mark.parametrize(
    ("scheme", "rule", "compared"),
    [
        (HEX, POINTER, Fingerprint.REQUEST),
        (TOCSIN, None, Fingerprint.REQUEST),
        (STRIPE, None, Fingerprint.NONE),
        (STRIPE, POINTER, Fingerprint.REQUEST),
        (GITHUB, body_digest(days=3), Fingerprint.NONE),
    ],
)
def test_chosen_keys_compare_the_request_and_provider_ids_nothing(
    scheme: Scheme, rule: KeyRule | None, compared: Fingerprint
) -> None:
    assert declared(scheme, rule).compared is compared


def test_a_failure_cannot_be_remembered() -> None:
    with pytest.raises(GuardError, match="remember holds 503"):
        declared(HEX, POINTER, remember={200, 503})


def test_what_is_said_is_taken() -> None:
    operation = declared(
        HEX, POINTER, remember={200}, fingerprint=Fingerprint.BODY, answer_days=1.0, claim_days=math.inf
    )
    assert (operation.remember, operation.compared, operation.answer_days) == ({200}, Fingerprint.BODY, 1.0)


def test_a_body_digest_is_kept_as_long_as_it_says_whatever_the_guard_says() -> None:
    assert declared(GITHUB, body_digest(days=3), claim_days=100.0).claim_days == 3


def test_an_operation_says_what_its_guard_left_open_and_overrides_the_rest() -> None:
    wide = Options(remember={200}, fingerprint=Fingerprint.NONE, answer_days=1.0, claim_days=2.0)
    assert Options().over(wide) == wide
    narrow = Options(remember={201}, fingerprint=Fingerprint.BODY, answer_days=3.0, claim_days=4.0)
    assert narrow.over(wide) == narrow


def test_routes_are_separated_by_a_signed_path_or_url() -> None:
    assert separates_routes(TOCSIN)
    assert separates_routes(URL)
    assert not separates_routes(HEX)
