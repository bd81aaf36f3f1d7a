"""The nearest known word, for errors about an unknown one. PURE."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """An error's text: what is unknown, the nearest known word if one is near, and otherwise all of them."""
    words = sorted(known)
    near = get_close_matches(word, words, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(words)}"
    return f"unknown {what} {word!r}; {hint}"
