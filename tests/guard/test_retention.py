import math

import pytest

from tests.guard.shop import HEX
from tocsin.guard._errors import GuardError
from tocsin.guard._keys import body_digest
from tocsin.guard._retention import (
    ANSWER_DAYS,
    FOREVER,
    checked_answer_days,
    checked_claim_days,
    default_claim_days,
    is_forgettable,
    is_tombstone,
    least_claim_days,
    until_unix_ms,
)
from tocsin.guard._store import Record
from tocsin.signing import MessageId, Scheme, json_pointer, preset

STRIPE = preset("stripe")
DAY_MS = 86_400_000


def custom(**changes: object) -> Scheme:
    return preset("stripe", **changes)


def test_the_least_is_a_day_more_than_the_providers_retries() -> None:
    assert STRIPE.retry_horizon_s is not None
    assert least_claim_days(STRIPE) == STRIPE.retry_horizon_s / 86_400 + 1


def test_the_least_is_a_day_more_than_both_tolerances_where_they_are_longer() -> None:
    wide = custom(tolerance_past_s=10 * 86_400, tolerance_future_s=86_400, retry_horizon_s=3 * 86_400)
    assert least_claim_days(wide) == 12


def test_tolerances_count_only_where_a_timestamp_is_signed() -> None:
    assert least_claim_days(HEX) == 1


def test_webhooks_with_a_signed_timestamp_and_known_retries_are_kept_that_long() -> None:
    assert STRIPE.message_id is not None
    assert default_claim_days(STRIPE.message_id, STRIPE) == least_claim_days(STRIPE)


@pytest.mark.parametrize(
    ("rule", "scheme"),
    [
        (json_pointer("/order_id"), STRIPE),
        (MessageId(pointer="/id"), HEX),
        (MessageId(pointer="/id"), custom(retry_horizon_s=None)),
    ],
    ids=["business key", "no signed timestamp", "nobody says how long the sender retries"],
)
def test_for_ever_is_the_default_where_nothing_bounds_a_message(rule: MessageId, scheme: Scheme) -> None:
    assert default_claim_days(rule, scheme) == FOREVER


def test_a_body_digest_is_kept_as_long_as_it_says() -> None:
    assert default_claim_days(body_digest(days=3), preset("github")) == 3


@pytest.mark.parametrize("days", [0, 30, -1, math.nan])
def test_a_claim_that_its_message_could_outlive_is_refused(days: float) -> None:
    with pytest.raises(GuardError, match=f"claim_days = .*can arrive again for {least_claim_days(STRIPE):g} days"):
        checked_claim_days(days, STRIPE)


def test_claims_may_be_kept_longer_than_the_least() -> None:
    assert checked_claim_days(365, STRIPE) == 365
    assert checked_claim_days(FOREVER, STRIPE) == FOREVER


def test_answers_are_kept_for_a_week_unless_told_otherwise() -> None:
    assert checked_answer_days(None) == ANSWER_DAYS == 7
    assert checked_answer_days(30) == 30


@pytest.mark.parametrize("days", [0, -1, math.nan])
def test_answers_are_kept_for_some_time(days: float) -> None:
    with pytest.raises(GuardError, match="wanted is a positive number of days"):
        checked_answer_days(days)


def test_times_are_in_milliseconds_and_for_ever_has_none() -> None:
    assert until_unix_ms(1000, 2) == 1000 + 2 * DAY_MS
    assert until_unix_ms(1000, FOREVER) is None


def test_a_claim_is_forgettable_when_its_time_has_come_and_it_has_an_answer() -> None:
    assert is_forgettable(Record(None, 200, b"", b"", None, 5), 5)
    assert not is_forgettable(Record(None, 200, b"", b"", None, 5), 4)
    assert not is_forgettable(Record(None, 200, b"", b"", None, None), 5)
    assert not is_forgettable(Record(None, None, None, None, None, 5), 5)


def test_an_answer_that_has_had_its_time_is_not_shown_even_before_it_is_swept() -> None:
    assert is_tombstone(Record(None, 200, b"", b"", 5, None), 5)
    assert not is_tombstone(Record(None, 200, b"", b"", 5, None), 4)
