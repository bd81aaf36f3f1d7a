"""Instants as HTTP writes them. PURE."""

from email.utils import parsedate_to_datetime


def unix_of(http_date: str) -> float | None:
    """The Unix seconds that an HTTP date names (RFC 9110 section 5.6.7), None if it names none: a peer wrote it."""
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        # The second for years and offsets that no number of the machine holds.
        return None
