"""Texts as TOML 1.0 writes them. PURE."""

import json
import re

from tocsin.inputs._errors import InputError

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LITERAL = re.compile(r"[^'\x00-\x08\x0a-\x1f\x7f]*")


def string(text: str) -> str:
    """A string; a literal one where that spares backslashes. Raises InputError for what no TOML file can hold."""
    if any("\ud800" <= mark <= "\udfff" for mark in text):
        raise InputError("a text with half of a surrogate pair: wanted one that UTF-8 can write")
    if ('"' in text or "\\" in text) and _LITERAL.fullmatch(text):
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """A key, quoted where it has to be."""
    return name if _BARE.fullmatch(name) else json.dumps(name)


def comment(text: str) -> str:
    """A comment on one line: whatever a document says, it cannot end the comment and begin a key."""
    return "# " + "".join(mark if mark.isprintable() else " " for mark in text)
