"""Which of two messages is newer: rules without a database."""

import asyncio
import json
from typing import Any

import pytest

from tests.guard.shop import HEX, NOW, SECRET
from tocsin.guard import Guard, sequence, signed_timestamp
from tocsin.guard._contract_subject import claim
from tocsin.guard._errors import GuardError, KeyRefused
from tocsin.guard._sequence import check_sequence, check_store, position_of
from tocsin.guard._store import AsyncGranted, Granted, Position
from tocsin.guard.stores.memory import MemoryStore
from tocsin.guard.stores.redis import RedisStore
from tocsin.signing import KeyRing, Message, json_pointer, preset, scheme_from_table, sign, verify

NUMBER = json_pointer("/version")
STREAM = json_pointer("/item")
MILLISECONDS = scheme_from_table(
    {
        "name": "in-milliseconds",
        "content": "{timestamp}.{body}",
        "encoding": "hex",
        "header": "X-Signature",
        "timestamp_header": "X-Time",
        "timestamp_format": "unix_ms",
    }
)


def position(document: object, *, scheme: Any = HEX, now: float = NOW, **rule: Any) -> Position:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    message = Message("POST", "/stock", (), body)
    message = Message("POST", "/stock", sign(message, scheme, SECRET, now=now), body)
    verified = verify(message, scheme, KeyRing.of(SECRET), now=now)
    return position_of(sequence(**({"number": NUMBER} | rule)), "/stock", message, verified)


@pytest.mark.parametrize("given", [0, 17, "17", (1 << 63) - 1, "9223372036854775807"], ids=repr)
def test_a_number_is_an_integer_or_its_text(given: int | str) -> None:
    assert position({"version": given}).number == int(given)


@pytest.mark.parametrize(
    "given",
    [-1, 1 << 63, "9223372036854775808", "01", "+1", " 1", "1.0", "", 1.5, True, None, [1], "²", "1" * 20],
    ids=repr,
)
def test_what_is_no_number_is_refused_and_says_what_is_wanted(given: object) -> None:
    with pytest.raises(KeyRefused, match="no usable sequence: /version"):
        position({"version": given})


@pytest.mark.parametrize("body", [b"{}", b"no json", b'{"version":1,"version":2}'], ids=repr)
def test_a_body_without_one_number_is_refused(body: bytes) -> None:
    with pytest.raises(KeyRefused, match="no usable sequence"):
        position(body)


def test_streams_are_told_apart_by_name_and_type_and_not_by_number() -> None:
    def stream(item: object) -> bytes:
        return position({"version": 1, "item": item}, stream=STREAM).stream

    whole = position({"version": 1}).stream
    assert len({stream("a"), stream("b"), stream("1"), stream(1), whole}) == 5
    assert stream("a") == position({"version": 2, "item": "a"}, stream=STREAM).stream
    assert len(whole) == 32
    with pytest.raises(KeyRefused, match="no usable sequence"):
        stream(None)


def test_a_timestamp_in_milliseconds_is_a_number() -> None:
    rule = sequence(number=signed_timestamp())
    check_sequence(rule, MILLISECONDS)
    assert position({}, scheme=MILLISECONDS, now=NOW + 0.007, number=signed_timestamp()).number == NOW * 1000 + 7


@pytest.mark.parametrize(
    ("rule", "scheme", "wanted"),
    [
        (sequence(number=signed_timestamp()), "stripe", "are unix, in whole seconds"),
        (sequence(number=signed_timestamp()), "github", "signs no timestamp"),
        (sequence(number=NUMBER), "mailgun", "does not sign the body"),
    ],
)
def test_what_is_too_coarse_or_not_signed_is_refused(rule: Any, scheme: str, wanted: str) -> None:
    with pytest.raises(GuardError, match=wanted):
        check_sequence(rule, preset(scheme))


def test_a_timestamp_that_is_sent_and_not_signed_is_no_number() -> None:
    with pytest.raises(GuardError, match="signs no timestamp"):
        check_sequence(sequence(number=signed_timestamp()), UNSIGNED_TIMESTAMP)


def test_a_stream_in_a_body_that_is_not_signed_is_refused() -> None:
    check_sequence(sequence(number=NUMBER, stream=STREAM), preset("stripe"))
    with pytest.raises(GuardError, match="does not sign the body"):
        check_sequence(sequence(number=signed_timestamp(), stream=STREAM), UNSIGNED_BODY)


UNSIGNED_BODY = scheme_from_table(
    {
        "name": "no-body",
        "content": "{timestamp}.{path}",
        "encoding": "hex",
        "header": "X-Signature",
        "timestamp_header": "X-Time",
        "timestamp_format": "unix_ms",
    }
)
UNSIGNED_TIMESTAMP = scheme_from_table(
    {
        "name": "no-time",
        "content": "{body}",
        "encoding": "hex",
        "header": "X-Signature",
        "timestamp_header": "X-Time",
        "timestamp_format": "unix_ms",
    }
)


def test_what_cannot_be_ordered_is_refused_when_the_guard_is_built() -> None:
    """And again where an operation says so for itself."""
    for rule in (sequence(number=signed_timestamp()), sequence(number=NUMBER)):
        with pytest.raises(GuardError, match="sequence: "):
            Guard(preset("mailgun"), KeyRing.of(SECRET), MemoryStore(), unsigned_body=True, sequence=rule)
    guard = Guard(preset("stripe"), KeyRing.of(SECRET), MemoryStore())
    with pytest.raises(GuardError, match="in whole seconds"):
        guard.flask(sequence=sequence(number=signed_timestamp()))(lambda *_: "")


def test_a_store_whose_transaction_does_not_cover_the_handlers_writes_is_refused() -> None:
    check_store(MemoryStore.declares)
    with pytest.raises(GuardError, match="sequence: this store keeps no order"):
        Guard(HEX, KeyRing.of(SECRET), RedisStore("redis://127.0.0.1:1"), sequence=sequence(number=NUMBER))


class Bare(Granted[None], AsyncGranted[None]):
    """What a store of somebody's own grants, which knows no streams."""

    tx = None

    def settle(self, answer: object) -> None: ...
    def abandon(self) -> None: ...
    async def settle_async(self, answer: object) -> None: ...
    async def abandon_async(self) -> None: ...


def test_a_grant_of_a_store_without_streams_says_so() -> None:
    bare = Bare()
    with pytest.raises(GuardError, match="Bare keeps no streams"):
        bare.advance(1)
    with pytest.raises(GuardError, match="Bare keeps no streams"):
        asyncio.run(bare.advance_async(1))
    assert not bare.conflicts(None)


def test_a_claim_has_no_position_unless_its_operation_has_an_order() -> None:
    assert claim().position is None
