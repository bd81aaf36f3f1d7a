"""Timestamps with one spelling each. PURE.

Rule: a timestamp verifies only in the one spelling that rendering it gives back. Parsers such as float() take
"1.7e9", "+1700000000", "1700_000_000" and digits of other scripts for the same instant, and each alias is a fresh key
for a replay store that remembers headers.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tocsin.signing._errors import Malformed, SchemeError, shown

_DAY_S = 86_400
# The days before each month, in a common year and in a leap year.
_MONTHS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_LEAP_MONTHS = (0, 31, *[days + 1 for days in _MONTHS[2:]])
_EPOCH_YEAR = 1970
# Every format ends with the year 9999, the last one that ISO 8601 writes with four digits.
_END_UNIX = 253_402_300_800


@dataclass(frozen=True, slots=True)
class TimestampFormat:
    """One way to write an instant.

    Args:
        units_per_s: how many of its units make a second.
        pattern: the texts that may be timestamps at all, bounded in length.
        parse: such a text to units since the epoch, or None where it names no instant.
        render: units since the epoch to text.
        example: for errors.
    """

    units_per_s: int
    pattern: re.Pattern[str]
    parse: Callable[[str], int | None]
    render: Callable[[int], str]
    example: str


def _days_before_year(year: int) -> int:
    past = year - 1
    return 365 * past + past // 4 - past // 100 + past // 400


def _months(year: int) -> tuple[int, ...]:
    is_leap = _days_before_year(year + 1) - _days_before_year(year) > 365  # noqa: PLR2004  the days of a common year
    return _LEAP_MONTHS if is_leap else _MONTHS


def _parse_iso(text: str) -> int | None:
    year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    if year < _EPOCH_YEAR or not 1 <= month <= len(_MONTHS):
        return None
    days = _days_before_year(year) - _days_before_year(_EPOCH_YEAR) + _months(year)[month - 1] + day - 1
    units = days * _DAY_S + hour * 3600 + minute * 60 + second
    # 30 February, 24:00:00 and a 61st second all count on into the next day or minute, and are then spelled otherwise.
    return units if _render_iso(units) == text else None


def _render_iso(units: int) -> str:
    days, second = divmod(units, _DAY_S)
    days += _days_before_year(_EPOCH_YEAR)
    year = days // 366 + 1
    while _days_before_year(year + 1) <= days:
        year += 1
    days -= _days_before_year(year)
    months = _months(year)
    month = bisect_right(months, days)
    day = days - months[month - 1] + 1
    return f"{year:04}-{month:02}-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def _parse_basic(text: str) -> int | None:
    return _parse_iso(f"{text[0:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}Z")


def _render_basic(units: int) -> str:
    return _render_iso(units).replace("-", "").replace(":", "")


TIMESTAMP_FORMATS: Mapping[str, TimestampFormat] = MappingProxyType(
    {
        "unix": TimestampFormat(1, re.compile(r"0|[1-9][0-9]{0,11}"), int, str, "1700000000"),
        "unix_ms": TimestampFormat(1000, re.compile(r"0|[1-9][0-9]{0,14}"), int, str, "1700000000000"),
        "iso8601": TimestampFormat(
            1,
            re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"),
            _parse_iso,
            _render_iso,
            "2023-11-14T22:13:20Z",
        ),
        "iso8601_basic": TimestampFormat(
            1, re.compile(r"[0-9]{8}T[0-9]{6}Z"), _parse_basic, _render_basic, "20231114T221320Z"
        ),
    }
)


def render_timestamp(instant_unix: float, format_name: str) -> str:
    """The instant's one spelling, cut off to the format's unit.

    Raises:
        SchemeError: the instant lies before 1970 or after the year 9999, or is no number.
    """
    if not 0 <= instant_unix < _END_UNIX:
        raise SchemeError(f"instant {instant_unix!r}: wanted Unix seconds from 1970 to the year 9999")
    form = TIMESTAMP_FORMATS[format_name]
    return form.render(int(instant_unix * form.units_per_s))


def parse_timestamp(text: str, format_name: str) -> float:
    """Unix seconds.

    Raises:
        Malformed: the text is not the one spelling of an instant.
    """
    form = TIMESTAMP_FORMATS[format_name]
    units = form.parse(text) if form.pattern.fullmatch(text) else None
    if units is None or units >= _END_UNIX * form.units_per_s:
        raise Malformed("the timestamp", f"is {shown(text)}; wanted {format_name} such as {form.example}")
    return units / form.units_per_s
