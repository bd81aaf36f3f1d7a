"""Text that others wrote, made harmless to show. PURE.

Rule: what a service answered or a plan holds is data. A character that moves a cursor, recolours, reorders or hides
text is shown as its escape, so that the reader sees that it was there. No report shows text by another way.
"""

import unicodedata

# Control (Cc: escape sequences, newlines), format (Cf: bidi overrides, zero-width), private use, lone surrogates (which
# no encoding can write), line and paragraph separators.
_ACTIVE = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_TAB_COLUMNS = 4


def line(text: str) -> str:
    """The text as one line in which every character stays where it was put."""
    return "".join(_visible(character) for character in text)


def lines(text: str) -> list[str]:
    """The text as lines, for code of ours that has several; tabs become spaces."""
    return [line(one.expandtabs(_TAB_COLUMNS)) for one in text.rstrip("\n").split("\n")]


def encodable(text: str, encoding: str) -> str:
    """The text with everything that the encoding lacks escaped, because a report must not fail on an ASCII terminal."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _visible(character: str) -> str:
    # ascii() of one character is its escape in quotes.
    return ascii(character)[1:-1] if unicodedata.category(character) in _ACTIVE else character
