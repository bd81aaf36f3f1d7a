import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.signing import Malformed, SchemeError
from tocsin.signing._timestamp import parse_timestamp, render_timestamp

ALIASES = [
    "",
    "+1700000000",
    "-1",
    "-0",
    "00",
    "01700000000",
    " 1700000000",
    "1700000000 ",
    "1700000000\n",
    "1700000000.0",
    "1.7e9",
    "1700_000_000",
    "0x6553f100",
    "\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660",
    "170000000\u0661",
    "inf",
    "nan",
    "9" * 13,
    "9" * 5000,
    "253402300800",
]


@pytest.mark.parametrize("text", ALIASES)
def test_a_unix_timestamp_has_one_spelling(text: str) -> None:
    with pytest.raises(Malformed, match="wanted unix such as 1700000000"):
        parse_timestamp(text, "unix")


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29T00:00:00Z",
        "2023-02-30T00:00:00Z",
        "2023-04-31T00:00:00Z",
        "2023-00-10T00:00:00Z",
        "2023-13-10T00:00:00Z",
        "2023-01-00T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "2023-01-01T00:00:00+00:00",
        "2023-01-01T00:00:00.000Z",
        "2023-01-01 00:00:00Z",
        "2023-01-01T00:00:00z",
        "2023-01-01T00:00:00",
        "\u0662023-01-01T00:00:00Z",
    ],
)
def test_an_iso_timestamp_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="wanted iso8601"):
        parse_timestamp(text, "iso8601")


@given(st.integers(0, 253_402_300_799))
def test_an_iso_timestamp_is_what_the_calendar_says(instant: int) -> None:
    text = datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")
    assert render_timestamp(instant, "iso8601") == text
    assert parse_timestamp(text, "iso8601") == instant


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2024-12-31T23:59:59Z"])
def test_leap_days_and_year_ends_are_read(text: str) -> None:
    assert parse_timestamp(text, "iso8601") == datetime.fromisoformat(text).timestamp()


@given(st.integers(0, 253_402_300_799), st.sampled_from(["unix", "unix_ms", "iso8601"]))
def test_what_is_rendered_is_parsed_back(instant: int, form: str) -> None:
    assert parse_timestamp(render_timestamp(instant, form), form) == instant


def test_an_instant_is_cut_off_to_the_unit() -> None:
    assert render_timestamp(1700000000.9994, "unix") == "1700000000"
    assert render_timestamp(1700000000.9994, "unix_ms") == "1700000000999"
    assert parse_timestamp("1700000000999", "unix_ms") == 1700000000.999


@pytest.mark.parametrize("instant", [-1, 253_402_300_800, math.inf, math.nan])
def test_an_instant_outside_the_calendar_cannot_be_signed(instant: float) -> None:
    with pytest.raises(SchemeError, match="wanted Unix seconds from 1970"):
        render_timestamp(instant, "unix")
