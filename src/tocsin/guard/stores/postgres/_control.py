"""Which SQL would begin or end the transaction that it runs in. PURE.

Rule: the text is read as the server reads it, so neither a comment nor a string nor a second statement hides anything.
It is the first of two defences and the polite one; the second is the server's own transaction id, when the answer is
stored.
"""

import re
from functools import lru_cache

# Nearly every statement is done with after this.
_HINT = re.compile(r"\b(?:begin|start|commit|end|rollback|abort|prepare)\b", re.IGNORECASE)
_TOKEN = re.compile(
    r"""
      --[^\r\n]*
    | (?P<comment> /\*)
    | (?<![\w$])[eE]'(?:[^'\\]|''|\\.)*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_CONTROL = re.compile(
    r"""
    \s* (
      begin | start \s+ transaction | commit | end | prepare \s+ transaction
    | (?:rollback | abort) (?! (?:\s+ (?:work | transaction))? \s+ to \b)
    ) \b
    """,
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=512)
def control_in(sql: str) -> str:
    """The first words of the statement that would begin or end the transaction, or "".

    SAVEPOINT, RELEASE and ROLLBACK TO stay inside it, and are nobody's business but the handler's.
    """
    if _HINT.search(sql) is None:
        return ""
    for statement in _code(sql).split(";"):
        found = _CONTROL.match(statement)
        if found is not None:
            return " ".join(found[1].upper().split())
    return ""


def _code(sql: str) -> str:
    """The statements without what is quoted and without comments."""
    parts: list[str] = []
    position = 0
    while (token := _TOKEN.search(sql, position)) is not None:
        parts.append(sql[position : token.start()])
        position = _end_of_comment(sql, token.end()) if token["comment"] else token.end()
    return " ".join([*parts, sql[position:]])


def _end_of_comment(sql: str, position: int) -> int:
    """Where a comment ends whose beginning has been read. PostgreSQL's comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
