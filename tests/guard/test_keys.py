import hashlib
import json
from pathlib import Path

import pytest

from tests.guard.shop import HEX, NOW, SECRET
from tocsin.guard._errors import GuardError, KeyRefused
from tocsin.guard._keys import BodyDigest, KeyRule, body_digest, claim_key, key_of, length_prefixed
from tocsin.signing import KeyRing, Message, MessageId, Scheme, Secret, json_pointer, preset, sign, verify

VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("keys.json").read_text())
POINTER = json_pointer("/order_id")
TOCSIN = preset("tocsin-v1")
CUSTOM = Scheme(name="custom", content="{header:X-Id}.{body}", message_id=MessageId(header="X-Id"))


def key(
    rule: KeyRule,
    body: bytes = b"{}",
    *,
    scheme: Scheme = HEX,
    secret: Secret = SECRET,
    tenant: str = "main",
    headers: tuple[tuple[str, str], ...] = (),
    name: str = "/order",
) -> bytes:
    """The key of a request that was really signed and verified."""
    message = Message("POST", "/order", headers, body)
    message = Message("POST", "/order", (*headers, *sign(message, scheme, secret, now=NOW)), body)
    return key_of(rule, name, message, verify(message, scheme, KeyRing.of(secret, tenant=tenant), now=NOW))


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["comment"])
def test_the_derivation_is_frozen(vector: dict[str, str]) -> None:
    """A changed byte would let every kept message take effect once more, and cut a service in another language off."""
    value = bytes.fromhex(vector["value_hex"])
    assert claim_key(vector["tenant"], vector["operation"], vector["tag"], value).hex() == vector["key_hex"]


def test_the_vectors_are_what_their_description_says() -> None:
    """The published description suffices to compute them."""
    vector = VECTORS["keys"][0]
    parts = [b"tocsin-claim-1", b"main", b"/order", b"string", b"order-17"]
    told = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()
    assert told == vector["key_hex"]


def test_no_two_lists_of_parts_give_the_same_bytes() -> None:
    assert length_prefixed(b"a", b"bc") != length_prefixed(b"ab", b"c") != length_prefixed(b"abc")


def test_tenant_operation_and_type_are_part_of_the_key() -> None:
    """Two tenants never share a claim, nor do two operations, nor 1 and "1"."""
    keys = {
        key(POINTER, b'{"order_id":"1"}'),
        key(POINTER, b'{"order_id":1}'),
        key(POINTER, b'{"order_id":"1"}', tenant="other"),
        key(POINTER, b'{"order_id":"1"}', name="/refund"),
    }
    assert len(keys) == 4


def test_the_key_id_is_no_part_of_the_key() -> None:
    """A retry under a rotated secret is a retry."""
    headers = (("Idempotency-Key", "a1"),)
    rule = TOCSIN.message_id
    assert rule is not None
    old, new = Secret(b"the old secret, 24 bytes", "k1"), Secret(b"the new secret, 24 bytes", "k2")
    assert key(rule, scheme=TOCSIN, secret=old, headers=headers) == key(
        rule, scheme=TOCSIN, secret=new, headers=headers
    )


def test_a_message_id_and_a_pointer_to_the_same_value_are_one_key() -> None:
    """Naming in the code what the preset said before does not make old messages new."""
    stripe = preset("stripe")
    assert stripe.message_id is not None
    body = b'{"id":"evt_1"}'
    assert key(stripe.message_id, body, scheme=stripe) == key(json_pointer("/id"), body, scheme=stripe)


@pytest.mark.parametrize("spelled", ['"a1"', "a1"])
def test_quoted_and_bare_idempotency_keys_are_one_key(spelled: str) -> None:
    """The IETF draft wants quotes, most clients send none."""
    rule = TOCSIN.message_id
    assert rule is not None
    wanted = claim_key("main", "/order", "string", b"a1")
    assert key(rule, scheme=TOCSIN, headers=(("Idempotency-Key", spelled),)) == wanted


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"order_id":null}',
        b'{"order_id":""}',
        b'{"order_id":[1]}',
        b'{"order_id":{}}',
        b'{"order_id":1.0}',
        b'{"order_id":true}',
        b'{"order_id":"\\ud800"}',
        b'{"order_id":"' + b"x" * 256 + b'"}',
        b'{"order_id":' + b"1" * 256 + b"}",
        b'{"order_id":"a","order_id":"b"}',
        b'{"order_id":"a","x":{"y":1,"y":2}}',
        b'{"order_id":"a","x":NaN}',
        b"[",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_json_pointer_takes_non_empty_strings_and_integers_only(body: bytes) -> None:
    with pytest.raises(KeyRefused, match=r"^no usable idempotency key: "):
        key(POINTER, body)


@pytest.mark.parametrize("value", [b'"A"', b'"a"', b'"a "', b'"a\\u0000"', b'"\xc3\xa4"', b"0", b"-1", b"1" * 255])
def test_keys_that_databases_confuse_as_text_are_told_apart(value: bytes) -> None:
    """MariaDB's collation makes "A", "a" and "a " one, PostgreSQL refuses NUL: so keys are bytes of a digest."""
    assert len(key(POINTER, b'{"order_id":' + value + b"}")) == 32
    assert key(POINTER, b'{"order_id":' + value + b"}") != key(POINTER, b'{"order_id":"other"}')


def test_a_missing_message_id_is_refused_after_verification() -> None:
    rule = TOCSIN.message_id
    assert rule is not None
    scheme = preset("stripe")
    assert scheme.message_id is not None
    with pytest.raises(KeyRefused, match=r"no usable idempotency key: /id is not there"):
        key(scheme.message_id, b"{}", scheme=scheme)


def test_an_id_that_was_sent_twice_looks_like_a_list_behind_wsgi_and_is_refused() -> None:
    assert CUSTOM.message_id is not None
    with pytest.raises(KeyRefused, match="X-Id is given more than once, or holds a comma"):
        key(CUSTOM.message_id, scheme=CUSTOM, headers=(("X-Id", "a,b"),))


def test_equal_bodies_are_one_key_and_other_bodies_are_not() -> None:
    rule = body_digest(days=3)
    assert key(rule, b"a") == key(rule, b"a") != key(rule, b"b")


def test_an_unsigned_topic_splits_the_digest_and_does_not_replace_it() -> None:
    rule = body_digest(days=3, split_by=("X-Topic",))
    topic = {name: key(rule, b"a", headers=(("X-Topic", name),)) for name in ("created", "paid")}
    assert topic["created"] != topic["paid"]
    assert topic["created"] != key(rule, b"b", headers=(("X-Topic", "created"),))
    assert topic["created"] != key(rule, b"a")


@pytest.mark.parametrize("days", [0, 0.9, -1, float("nan")])
def test_a_digest_is_remembered_for_a_day_at_least(days: float) -> None:
    with pytest.raises(GuardError, match="wanted at least 1"):
        body_digest(days=days)


def test_a_body_digest_is_plain_data() -> None:
    assert body_digest(days=2) == BodyDigest(2, ())
