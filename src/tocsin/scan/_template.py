"""Text with {{variables}}, as plans write it. PURE.

Rule: values are inserted verbatim. What a value does to the request around it is the plan's business; what would break
the request apart on the wire (CR, LF, NUL) is refused where the request is built.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}", re.ASCII)

# Always there, and never declared: the signed instant in three spellings.
INSTANT_NAMES = frozenset({"timestamp", "timestamp_ms", "timestamp_iso"})


@dataclass(frozen=True, slots=True)
class Template:
    """A text and the names of the variables in it."""

    text: str
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(_PLACEHOLDER.findall(self.text)))

    def bound(self, mark: Callable[[str], str], literal: Callable[[str], str]) -> tuple[str, tuple[str, ...]]:
        """The text with a mark in place of every variable, and the variables in the order of their marks.

        Args:
            mark: of a variable.
            literal: what the text between them becomes.
        """
        pieces = _PLACEHOLDER.split(self.text)
        names = tuple(pieces[1::2])
        text = "".join(mark(piece) if place % 2 else literal(piece) for place, piece in enumerate(pieces))
        return text, names

    def render(self, values: Mapping[str, str]) -> str:
        """The text with every variable replaced. Raises KeyError for a name without a value."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.text)
