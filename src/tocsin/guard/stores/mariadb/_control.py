r"""Which SQL would begin or end the transaction that it runs in. PURE.

Rule: the text is read as the server reads it, so neither a comment nor a string hides anything; and what MariaDB runs
out of a comment (/*! ... */) is read too. MariaDB commits for many statements without being asked (DDL); those are
refused as well, before they do. It is the first of two defences and the polite one: the second is a savepoint, which
no transaction but the claim's own has.
"""

import re
from functools import lru_cache

# Nearly every statement is done with after this: it begins with one of these words, and holds no second statement.
_HARMLESS = re.compile(r"\s*(?:select|insert|update|delete|replace|with|values|do|savepoint)\b[^;#/]*\Z", re.IGNORECASE)
_TOKEN = re.compile(
    r"""
      --(?=\s|\Z)[^\r\n]*
    | \#[^\r\n]*
    | (?P<run> /\*M?!(?:\d{5,6})?)
    | /\*.*?(?:\*/|\Z)
    | \*/
    | '(?:[^'\\]|''|\\.)*'
    | "(?:[^"\\]|""|\\.)*"
    | `(?:[^`]|``)*`
    """,
    re.VERBOSE | re.DOTALL,
)
# MariaDB's manual, "SQL statements causing an implicit commit", and the statements that are meant to end a transaction.
_CONTROL = re.compile(
    r"""
    \s* (
      begin (?! \s+ not \s+ atomic \b) | start \s+ (?:transaction | slave | replica) | commit
    | rollback (?! (?:\s+ work)? \s+ to \b) | xa
    | set \s+ (?:(?:session | local | @@session\s*\. | @@local\s*\. | @@) \s*)? autocommit
    | create \s+ (?! (?:or \s+ replace \s+)? temporary \b) \w+ | alter \s+ \w+ | drop \s+ (?! temporary \b) \w+
    | rename | truncate | grant | revoke | set \s+ password | lock \s+ tables? | unlock \s+ tables?
    | analyze \s+ (?:no_write_to_binlog \s+ | local \s+)? table | check \s+ table | optimize | repair | cache \s+ index
    | load \s+ index | flush | reset | (?:un)?install \s+ (?:plugin | soname) | change \s+ master
    | stop \s+ (?:slave | replica)
    ) \b
    """,
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=512)
def control_in(sql: str) -> str:
    """The first words of the statement that would begin or end the transaction, or "".

    SAVEPOINT, RELEASE and ROLLBACK TO stay inside it, and are nobody's business but the handler's.
    """
    if _HARMLESS.match(sql) is not None:
        return ""
    for statement in _code(sql).split(";"):
        found = _CONTROL.match(statement)
        if found is not None:
            return " ".join(found[1].upper().split())
    return ""


@lru_cache(maxsize=512)
def is_one(sql: str) -> bool:
    """Whether it is one statement, with or without a semicolon at its end."""
    return ";" not in sql or ";" not in _code(sql).rstrip().rstrip(";")


def _code(sql: str) -> str:
    """The statements without what is quoted, and without comments but for those that are run."""
    parts: list[str] = []
    position = 0
    for token in _TOKEN.finditer(sql):
        parts.append(sql[position : token.start()])
        # What follows the opening of a comment that is run is code, as is what follows its end.
        parts.append(" ")
        position = token.end()
    return "".join([*parts, sql[position:]])
