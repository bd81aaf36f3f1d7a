"""A command line as the words that bash makes of it. PURE.

Rule: bash takes quotes away and cuts at blanks, and nothing else. Where it would do more (fill in, look among files,
run a second command) the line is refused, but for what a plan's own {{name}} needs, which bash leaves alone.
"""

import re

from tocsin.curl._errors import CurlError

_PIECE = re.compile(
    r"""
      (?P<nothing> \\\n )                              # taken away, even within a word
    | (?P<blank> [ \t]+ | [ \t\r\n]+\Z )
    | \\(?P<escaped> [^\n] )
    | '(?P<single> [^']* )'
    | "(?P<double> (?:\\.|[^"\\])* )"
    | (?P<plain> (?: [^\s\x00-\x1f\\'"$`&;|<>()*?\[{}~\#] | \{\{[A-Za-z_][A-Za-z0-9_]*\}\} | \{\} )+ )
    | (?P<placed> [?*\[}~\#] )                         # it depends on where it stands
    | (?P<other> . )
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(\n|[$`\"\\])")
_LITERAL = re.compile(r"(?:\\.|[^\\$`])*", re.DOTALL)
_REASONS = {
    "$": "a shell would fill in what $ or ` stand for: wanted that itself, in single quotes",
    "'": "No closing quotation",
    "\n": "a line break ends a command: wanted a \\ before it",
    "\r": "a carriage return outside quotes: wanted lines that end with a line feed alone",
    "\\": "nothing follows the last \\: wanted the whole command",
}
_REASONS |= {"`": _REASONS["$"], '"': _REASONS["'"]}


def words_of(command: str) -> list[str]:
    """The words of one simple command. Raises CurlError where it is more than that."""
    found: list[str] = []
    word: str | None = None
    goes_on = False
    for piece in _PIECE.finditer(command.lstrip(" \t\n")):
        if piece["blank"]:
            found += [] if word is None else [word]
            word = None
        elif piece["nothing"]:
            goes_on = True
        else:
            goes_on = False
            word = (word or "") + _text(piece, word)
    if goes_on:
        raise CurlError(_REASONS["\\"])
    return found if word is None else [*found, word]


def _text(piece: re.Match[str], word: str | None) -> str:
    """What a piece adds to the word that has begun, if one has. Raises CurlError."""
    kind, text = piece.lastgroup, piece[piece.lastgroup or 0]
    if kind == "double" and _LITERAL.fullmatch(text):
        return _ESCAPED.sub(lambda escape: escape[1].strip("\n"), text)
    if kind in {"escaped", "single", "plain"} or (kind == "placed" and _is_text(text, word)):
        return text
    mark = "$" if kind == "double" else text
    outside = f"a shell has a use of its own for {mark!r} outside quotes: wanted it in single quotes"
    raise CurlError(_REASONS.get(mark, outside))


def _is_text(mark: str, word: str | None) -> bool:
    """Whether a mark is text after the beginning of a word: no pattern for files, no list, no home, no comment."""
    if mark in "?*[":
        # As in a URL: no file is called like one.
        return word is not None and ":" in word and "/" in word
    if mark == "}":
        # bash takes {{a}},} for a list of two.
        return "{" not in (word or "")
    if mark == "#":
        return word is not None
    return word is not None and word[-1:] not in {"", "=", ":"}
