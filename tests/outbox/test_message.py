"""What may be put, and when it is sent again: rules without a database."""

import math

import pytest

from tocsin.outbox import STANDARD_S, OutboxError, Retries, Sent
from tocsin.outbox._message import MAX_BODY_BYTES, body_of, checked_content_type, checked_id, checked_name

FAILED = Sent(delivered=False, error="answered 500")


@pytest.mark.parametrize("name", ["", "Partner", "a b", "-a", "x" * 65, "a\n", "é"])
def test_a_name_that_no_table_can_have_is_refused(name: str) -> None:
    with pytest.raises(OutboxError, match="wanted 1 to 64 of a-z"):
        checked_name(name)


@pytest.mark.parametrize("message_id", ["", "a.b", "x" * 65, "a\r\nX: y", "é"])
def test_an_id_that_no_header_can_carry_is_refused(message_id: str) -> None:
    with pytest.raises(OutboxError, match="wanted 1 to 64 of A-Z"):
        checked_id(message_id)


@pytest.mark.parametrize("content_type", ["json", "text/plain\r\nX: y", "", "a/b/ c"])
def test_a_content_type_that_is_none_is_refused(content_type: str) -> None:
    with pytest.raises(OutboxError, match="wanted type/subtype"):
        checked_content_type(content_type)


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain; charset=utf-8", "application/cloudevents+json"]
)
def test_a_content_type_stands_as_it_is(content_type: str) -> None:
    assert checked_content_type(content_type) == content_type


def test_bytes_are_sent_as_they_are_and_the_rest_as_json() -> None:
    assert body_of(b"\xff") == b"\xff"
    assert body_of({"a": [1, None, "é"]}) == '{"a":[1,null,"é"]}'.encode()


@pytest.mark.parametrize("payload", [math.nan, {"a": {1, 2}}, [b"raw"], "\ud800"])
def test_what_json_cannot_say_is_refused(payload: object) -> None:
    with pytest.raises(OutboxError, match="the payload is no JSON"):
        body_of(payload)  # type: ignore[arg-type]  # what a caller without types may pass


def test_a_body_that_is_too_long_is_refused() -> None:
    assert len(body_of(b"x" * MAX_BODY_BYTES)) == MAX_BODY_BYTES
    with pytest.raises(OutboxError, match="wanted at most 1048576, or a link to more"):
        body_of(b"x" * (MAX_BODY_BYTES + 1))


def test_the_waits_are_those_of_standard_webhooks_and_end() -> None:
    retries = Retries(STANDARD_S, lambda: 0.5)
    waits = [retries.wait_s(failures, FAILED) for failures in range(10)]
    assert waits == [*STANDARD_S, None]
    assert sum(STANDARD_S) == 75 * 3600 + 35 * 60 + 5


@pytest.mark.parametrize(("drawn", "wait_s"), [(0.0, 80.0), (0.5, 100.0), (1.0, 120.0)])
def test_a_wait_is_drawn_from_a_fifth_less_to_a_fifth_more(drawn: float, wait_s: float) -> None:
    assert Retries((100,), lambda: drawn).wait_s(0, FAILED) == pytest.approx(wait_s)


def test_a_receiver_may_ask_for_a_longer_wait_but_not_for_a_longer_one_than_ours() -> None:
    retries = Retries((5, 600), lambda: 0.5)
    assert retries.wait_s(0, Sent(delivered=False, not_before_s=60)) == 60
    assert retries.wait_s(0, Sent(delivered=False, not_before_s=1)) == 5
    assert retries.wait_s(0, Sent(delivered=False, not_before_s=1e9)) == 600


def test_a_receiver_that_wants_no_more_gets_no_more() -> None:
    assert Retries(STANDARD_S, lambda: 0.5).wait_s(0, Sent(delivered=False, gone=True)) is None
    assert Retries((), lambda: 0.5).wait_s(0, FAILED) is None


@pytest.mark.parametrize("steps", [(-1,), (8 * 24 * 3600,), (math.nan,), (1,) * 51])
def test_steps_that_are_none_are_refused(steps: tuple[float, ...]) -> None:
    with pytest.raises(OutboxError, match="retry_s"):
        Retries(steps, lambda: 0.5)
