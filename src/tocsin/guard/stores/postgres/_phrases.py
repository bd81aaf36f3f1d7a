"""The guard's own statements: known to the server by a name, or said in full.

Rule: that the server knows a statement is a matter of speed alone. Both forms are made of one text, and a name holds a
digest of it, so another version of this program, whose session a pooler has mixed up with ours, never answers to it.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tocsin.guard.stores.postgres._values import Kind, literal


@dataclass(frozen=True)
class Phrase:
    """One statement.

    Args:
        purpose: for whoever looks at pg_prepared_statements; "" for one that is said too seldom to have a name.
        text: the statement, with its values as %(name)s; one without values is said as it stands.
        kinds: of the values, by their names.
    """

    purpose: str
    text: str
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @cached_property
    def name(self) -> bytes:
        """What the server knows it by."""
        digest = hashlib.sha256(self.text.encode()).hexdigest()[:8]
        return f"tocsin_{self.purpose}_{digest}".encode()

    @cached_property
    def numbered(self) -> bytes:
        """The statement with numbers for its values."""
        places = {name: kind.placeholder.format(at) for at, (name, kind) in enumerate(self.kinds.items(), 1)}
        return (self.text % places).encode()

    @cached_property
    def oids(self) -> list[int]:
        """The types of its values."""
        return [kind.oid for kind in self.kinds.values()]

    @cached_property
    def formats(self) -> list[int]:
        """Binary, every one of them."""
        return [1] * len(self.kinds)

    def sent(self, values: Mapping[str, object]) -> list[bytes | None]:
        """The values, to be sent beside it."""
        # Written out, because it is done for every value of every request.
        return [None if (value := values[name]) is None else encoded(value) for name, encoded in self._encoders]

    def said(self, values: Mapping[str, object]) -> str:
        """The statement with its values in the text."""
        if not self.kinds:
            return self.text
        return self.text % {name: literal(kind, values[name]) for name, kind in self.kinds.items()}

    def called(self, values: Mapping[str, object]) -> str:
        """The statement by its name, with its values in the text; one that has no name, or no values, in full."""
        if not self.purpose or not self.kinds:
            return self.said(values)
        # Written out, as in `sent`.
        return self._call % tuple(
            ["NULL" if (value := values[name]) is None else written(value) for name, written in self._writers]
        )

    @cached_property
    def _encoders(self) -> list[tuple[str, Callable[[Any], bytes]]]:
        return [(name, kind.binary) for name, kind in self.kinds.items()]

    @cached_property
    def _writers(self) -> list[tuple[str, Callable[[Any], str]]]:
        return [(name, kind.argument) for name, kind in self.kinds.items()]

    @cached_property
    def _call(self) -> str:
        return f"EXECUTE {self.name.decode()}({','.join(['%s'] * len(self.kinds))})"


def plain(text: str) -> Phrase:
    """A statement without values, and without a name."""
    return Phrase("", text)
