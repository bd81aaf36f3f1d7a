"""What a handler's statements say, while it runs: Django's own hook for that, `execute_wrappers`.

Rule: this is the first of two defences and the polite one. The second is asked when the answer is stored: SQLite's
authorizer, PostgreSQL's transaction id, and the state of Django's blocks.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connections

from tocsin.guard._errors import TransactionMisuse
from tocsin.guard.stores.django._databases import Database, Trouble

_SKIPPED = r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_CONTROL = re.compile(
    rf"""{_SKIPPED}(
        begin | start\s+transaction | commit | end | prepare\s+transaction
        | (?:rollback | abort) (?! (?:\s+ (?:work | transaction))? \s+ to \b)
    )\b""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_READS = re.compile(
    rf"""{_SKIPPED}\(*\s*
    (?: select | with | show | explain | values | table | pragma | set
    | savepoint | release | rollback | begin | commit )
    \b""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


class Watch:
    """Watches the handler's own connection.

    Args:
        database: what the connection speaks.

    Attributes:
        broke: what the handler tried that would have ended its transaction; "" if nothing.
        is_conflict: a statement was undone for the sake of another transaction, and nothing has made up for it.
    """

    def __init__(self, database: Database) -> None:
        self.broke = ""
        self.is_conflict = False
        self._database = database

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any) -> Any:  # noqa: ANN401
        """See connection.execute_wrapper."""
        text = _text(sql, context)
        control = _CONTROL.match(text)
        if control is not None:
            self.broke = " ".join(control[1].upper().split())
            raise TransactionMisuse(
                f"{self.broke} is refused while a handler runs: its writes, the claim and the answer are one commit, "
                "which is the guard's; use transaction.atomic() or tx.savepoint() to undo a part"
            )
        try:
            result = execute(sql, params, many, context)
        except Error as error:
            if self._database.trouble(error) is Trouble.CONFLICT:
                self.is_conflict = True
            raise
        if self.is_conflict and text.upper().startswith("ROLLBACK TO"):
            # Whoever catches the error outside of its block has made up for it.
            self.is_conflict = False
        return result


@contextmanager
def watching_others(alias: str, uncovered: Collection[str]) -> Iterator[None]:
    """Refuse writes to the project's other databases, which no COMMIT on this one covers.

    Args:
        alias: the claim's database.
        uncovered: of the others, those that may be written to nonetheless.
    """

    def refuse(execute: Callable[..., Any], sql: Any, params: Any, many: Any, context: Any) -> Any:  # noqa: ANN401
        if _READS.match(_text(sql, context)) is None:
            other = context["connection"].alias
            raise TransactionMisuse(
                f"a write to the database {other!r} is refused while a handler runs: its claim is in {alias!r}, and "
                f"one commit cannot cover both; wanted DjangoStore(uncovered=[{other!r}]) if it may happen twice or "
                "not at all"
            )
        return execute(sql, params, many, context)

    others = [connections[name] for name in connections if name != alias and name not in uncovered]
    for other in others:
        other.execute_wrappers.append(refuse)
    try:
        yield
    finally:
        for other in others:
            other.execute_wrappers.remove(refuse)


def _text(sql: Any, context: Any) -> str:  # noqa: ANN401  a text, or a psycopg Composable
    return sql if isinstance(sql, str) else str(sql.as_string(context["connection"].connection))
