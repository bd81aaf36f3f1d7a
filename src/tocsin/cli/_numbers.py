"""Numbers of the command line that say how many."""

from tocsin.cli._errors import UsageError

# More rows than anybody reads, and fewer than any database can count.
_MOST = 1_000_000_000


def how_many(option: str, number: int, *, least: int = 1) -> int:
    """The number, where it is one that can be meant. Raises UsageError."""
    if number < least:
        raise UsageError(f"{option} {number}: wanted {least} or more")
    if number > _MOST:
        raise UsageError(f"{option} {number}: wanted at most {_MOST}")
    return number
