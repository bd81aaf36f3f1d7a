"""Values of the guard's own statements, as they are written in them. PURE.

Rule: nothing that a stranger chose stands in a statement as it came: it becomes hexadecimal digits or a decimal number.
So no sql_mode, character set, collation or quote can make anything else of it, and every statement is ASCII.
"""


def octets(value: bytes | None) -> str:
    """Bytes; of a text its UTF-8."""
    return "NULL" if value is None else f"x'{value.hex()}'"


def number(value: int | None) -> str:
    """An integer."""
    return "NULL" if value is None else f"{value:d}"


def seconds(value: float) -> str:
    """A time limit of a statement.

    It counts all that the statement does, not only its waits, and 0 means none at all: with less than a tenth of a
    second a busy server would fail to write a claim that nobody else wants.
    """
    return f"{max(value, 0.1):.3f}"
