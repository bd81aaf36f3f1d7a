"""The one pattern that everything a shape reads has to match, in the making. PURE.

Rule: a text ends at the first character of what comes after it, so that there is one way to read it, and in time that
grows no faster than the text.
"""

import re

from tocsin.signing._components import MAX_NONCE_CHARACTERS
from tocsin.signing._layout import Layout

_TEXT = "[ -~]*"
_VISIBLE = "".join(map(chr, range(ord("!"), ord("~") + 1)))
# Neither zero nor a leading one, and of as many digits that all lie before the year 9999.
NUMBERS = {"unix": "[1-9][0-9]{0,10}", "unix_ms": "[1-9][0-9]{0,13}"}


class LinesPattern:
    """A regular expression of lines, and which of its groups holds what.

    Args:
        signature_length: the characters of a signature.
        timestamp: the timestamps, as a regular expression.
    """

    def __init__(self, signature_length: int, timestamp: str) -> None:
        self.pattern = ""
        self.groups: dict[str, int] = {}
        self._signature_length = signature_length
        self._timestamp = timestamp

    def add_value(self, layout: Layout) -> None:
        """The value of the signature's header."""
        separator = layout.separator or ""
        self.pattern += re.escape(layout.scheme_name)
        for index, slot in enumerate(layout.slots):
            self.pattern += re.escape((separator if index else "") + slot.before)
            self.add_group(slot.kind, self._texts(slot.kind, (separator or slot.after)[:1]))
            self.pattern += re.escape(slot.after)

    def add_line(self, kind: str) -> None:
        """One text more, on a line of its own."""
        self.pattern += "\n"
        self.add_group(kind, self._texts(kind))

    def _texts(self, kind: str, end: str = "") -> str:
        """The texts of a kind, none of which holds what ends it."""
        if kind == "signature":
            # Not only what is printable, because such a class costs twice as much: `_quick` asks that of a wrong one.
            return f"{f'[^{re.escape(end)}]' if end else '.'}{{{self._signature_length}}}"
        if kind == "timestamp":
            return self._timestamp
        visible = _VISIBLE.replace(end, "") if end else _VISIBLE
        if kind == "nonce":
            return f"[{re.escape(visible)}]{{1,{MAX_NONCE_CHARACTERS}}}"
        space = "" if end == " " else " "
        return f"[{space}{re.escape(visible)}]*" if end else _TEXT

    def add_group(self, kind: str, pattern: str) -> None:
        """One text more, right after the last one."""
        self.groups[kind] = len(self.groups) + 1
        self.pattern += f"({pattern})"
