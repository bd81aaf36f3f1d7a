"""A moment as text. Not among the PURE modules only because `datetime` can also read the clock; nothing here does."""

from datetime import UTC, datetime


def rfc3339(moment_unix: float) -> str:
    """To the second, as in "2026-11-21T21:24:05Z" (RFC 3339 section 5.6)."""
    return datetime.fromtimestamp(int(moment_unix), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
