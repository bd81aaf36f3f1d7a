"""Values that were never sent before, in this scan or another.

Rule: never drawn from the scan's seed. A rerun repeats sizes and orders; an id that a service has seen would make it
refuse honest requests, and the scan would call that a defence.
"""

import secrets
import time
import uuid
from collections.abc import Iterable, Mapping

from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import Variable


class FreshValues:
    """Makes the values of fresh variables."""

    def __init__(self, variables: Mapping[str, Variable], *, recycle_lists: bool) -> None:
        """Start counting.

        Args:
            variables: the plan's.
            recycle_lists: whether a list that is used up starts again, as it may where a reset brings the state back.
        """
        self._variables = variables
        self._recycle_lists = recycle_lists
        # Milliseconds since 1970: scans that start at different times do not share a number while they make fewer
        # than a thousand values a second.
        self._counted_from = time.time_ns() // 1_000_000
        self._made: dict[str, int] = {}
        self._starts = {name: variable.start for name, variable in variables.items() if variable.start is not None}

    def make(self, names: Iterable[str]) -> dict[str, str]:
        """A value for each of `names`. Raises CannotTell when a list is used up."""
        return {name: self._one(self._variables[name]) for name in sorted(names)}

    def count_on(self, name: str, start: int) -> None:
        """Let a counter go on from a number that the service has told."""
        self._starts[name] = start
        self._made[name] = 0

    def _one(self, variable: Variable) -> str:
        place = self._made.get(variable.name, 0)
        self._made[variable.name] = place + 1
        match variable.kind:
            case "uuid4":
                return str(uuid.uuid4())
            case "hex16":
                return secrets.token_hex(8)
            case "counter":
                return str(self._starts.get(variable.name, self._counted_from) + place)
            case "template":
                return variable.text.replace("{{n}}", str(self._counted_from + place))
            case "list":
                return self._listed(variable, place)
            case _:
                return variable.text

    def _listed(self, variable: Variable, place: int) -> str:
        if place >= len(variable.values) and not self._recycle_lists:
            raise CannotTell(
                f'all {len(variable.values)} values of the variable "{variable.name}" are used: '
                "list more, or give a [reset]"
            )
        return variable.values[place % len(variable.values)]
