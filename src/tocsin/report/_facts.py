"""Facts of an evidence in the shape in which they read best. PURE.

Rule: nothing is left out. Like things side by side are a table; whatever is nested deeper stays nested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tocsin.findings import Json

# More than that on one line is no longer seen at a glance.
_MOST_INLINE = 6


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads, all as text; a cell that a row lacks is empty."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Shaped: TypeAlias = "str | Table | Mapping[str, Shaped] | Sequence[Shaped]"


def shaped(value: Json) -> Shaped:
    """The value as text, a table, or a mapping or sequence of such."""
    inline = _inline(value)
    if inline is not None:
        return inline
    if isinstance(value, Mapping):
        rows = {_name(key): _row(inner) for key, inner in value.items()}
        return _table(list(rows.values()), list(rows)) or {_name(key): shaped(inner) for key, inner in value.items()}
    assert isinstance(value, Sequence)
    return _table([_row(inner) for inner in value], []) or [shaped(inner) for inner in value]


def _inline(value: Json) -> str | None:
    """The value on one line: a scalar, or a few of them. None if it is more than that."""
    if isinstance(value, Mapping):
        parts = [(f"{_name(key)}: ", _scalar(inner)) for key, inner in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts = [("", _scalar(inner)) for inner in value]
    else:
        return _scalar(value)
    if len(parts) > _MOST_INLINE or any(text is None for _, text in parts):
        return None
    return ", ".join(f"{key}{text}" for key, text in parts) or "none"


def _scalar(value: Json) -> str | None:
    if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _row(value: Json) -> dict[str, str] | None:
    """The value as cells by name; None if it is no mapping, or one that is nested too deep for cells."""
    if not isinstance(value, Mapping):
        return None
    cells = {_name(key): _inline(inner) for key, inner in value.items()}
    row = {head: text for head, text in cells.items() if text is not None}
    return row if len(row) == len(cells) else None


def _table(rows: Sequence[dict[str, str] | None], names: Sequence[str]) -> Table | None:
    """The rows under all heads that occur; `names`, if any, open the rows. None if one of them is no row."""
    cells = [row for row in rows if row]
    if len(cells) < len(rows):
        return None
    heads = list(dict.fromkeys(head for row in cells for head in row))
    body = [tuple(row.get(head, "") for head in heads) for row in cells]
    if not names:
        return Table(tuple(heads), tuple(body))
    return Table(("", *heads), tuple((name, *row) for name, row in zip(names, body, strict=True)))


def _name(key: str) -> str:
    return key.replace("_", " ")
