"""Text with {{variables}}, as plans write it. PURE.

Rule: values are inserted verbatim. What a value does to the request around it is the plan's business; what would break
the request apart on the wire (CR, LF, NUL) is refused where the request is built.
"""

import re
from collections.abc import Mapping
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

    def render(self, values: Mapping[str, str]) -> str:
        """The text with every variable replaced. Raises KeyError for a name without a value."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.text)
