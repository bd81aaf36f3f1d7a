"""The variables of a plan in the making. PURE.

Rule: one value has one variable wherever it stands, so that an id in a header, a body and a path stays the same id.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_plus

from tocsin.inputs._toml import string
from tocsin.inputs._values import Kind, classify, fresh_like, instant_variable

# What plans have without declaring it, and what no variable may be called.
_TAKEN = frozenset({"timestamp", "timestamp_ms", "timestamp_iso", "sink_url", "delivery_id"})
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}", re.ASCII)
# A shorter value stands in other words by chance.
_LONG_ENOUGH = 4
_ALWAYS = frozenset({"timestamp", "timestamp_ms", "timestamp_iso", "uuid", "nonce", "delivery_id"})


@dataclass(frozen=True, slots=True)
class Declared:
    """A line of [variables].

    Args:
        toml: the right-hand side.
        note: what is said beside it, or asked.
        original: the value that it stands for, or "" where that is a secret.
        kind: of it.
    """

    name: str
    toml: str
    note: str
    original: str
    kind: Kind


class Variables:
    """Gives out placeholders for values, and remembers what they stand for.

    Args:
        about: what the operation makes, in one word; see `classify`.
    """

    def __init__(self, about: str = "") -> None:
        self._about = about
        self._declared: dict[str, Declared] = {}
        self._dropped: set[str] = set()
        self._hidden: set[str] = set()
        # How many variables begin with a word: the next one's number need not be looked for.
        self._places: dict[str, int] = {}
        # By value; a short one is the same only under the same name, for 1 is everywhere.
        self._names: dict[tuple[str, str], str] = {}
        self._known: dict[str, tuple[str, ...]] = {}

    def __iter__(self) -> Iterator[Declared]:
        return iter(self._declared.values())

    def hide(self, secret: str) -> None:
        """Let a secret be one wherever it stands, whatever it is called there; of "Bearer abc" the last word too."""
        self._hidden |= {text for text in (secret, secret.rpartition(" ")[2]) if len(text) >= _LONG_ENOUGH}

    def known(self, text: str) -> str | None:
        """What stands for a value that has a variable already, else None."""
        found = self._known.get(text, ())
        return _shown(found[0]) if len(found) == 1 else None

    def placeholder(self, name: str, text: str, *, meant: str | None = None, is_there: bool = False) -> str | None:
        """What stands in a template for a value; None where the value itself may stand there.

        Args:
            name: of the member, header or parameter.
            text: the value as it is inserted there.
            meant: the value that this spells, where it is escaped; else the text.
            is_there: whether it names something that is there before the operation, whatever its name says.
        """
        meant = text if meant is None else meant
        is_hidden = self._hidden & {text, meant, unquote_plus(text)}
        kind = Kind.SECRET if is_hidden else classify(name, meant, about=self._about)
        if _key(name, text) in self._names:
            return _shown(self._names[_key(name, text)])
        if is_there and kind is not Kind.SECRET:
            kind = Kind.THING
        is_template = _PLACEHOLDER.search(text) is not None and kind is not Kind.SECRET
        if is_template or not text or kind is Kind.PLAIN or _PLACEHOLDER.fullmatch(text):
            return None
        if kind is Kind.INSTANT:
            return _shown(instant_variable(name, meant))
        if kind is Kind.SECRET:
            self.hide(text)
            self.hide(meant)
            return self._declare(
                name, Declared("", '{ value = "TODO" }', "TODO: the source's own is left out", "", kind)
            )
        if kind is Kind.FRESH:
            note = "TODO: made anew for each operation; right?"
            return self._declare(name, Declared("", fresh_like(name, text), note, text, kind))
        note = "what the operation acts on; TODO: does it exist, or has [[setup]] to make it?"
        return self._declare(name, Declared("", f"{{ value = {string(text)} }}", note, text, kind))

    def undeclared(self, texts: Iterator[str]) -> None:
        """Declare what templates of the user's own mention."""
        for name in dict.fromkeys(found for text in texts for found in _PLACEHOLDER.findall(text)):
            if name not in self._declared and name not in _ALWAYS | self._dropped:
                note = "TODO: is it fresh, or a value?"
                self._declared[name] = Declared(name, '{ fresh = "uuid4" }', note, "", Kind.FRESH)

    def drop(self, name: str) -> None:
        """Forget a variable that a set-up fills."""
        del self._declared[name]
        self._dropped.add(name)

    def mentioned(self, text: str) -> set[str]:
        """The variables in a template."""
        return set(_PLACEHOLDER.findall(text))

    def within(self, text: str) -> str:
        """A text in which values that are known already are replaced, the longest of several that fit."""
        names = {value: name for (_, value), name in self._names.items() if len(value) >= _LONG_ENOUGH}
        if not names:
            return text
        values = "|".join(re.escape(value) for value in sorted(names, key=len, reverse=True))
        return re.sub(values, lambda found: _shown(names[found[0]]), text)

    def _declare(self, name: str, declared: Declared) -> str:
        base = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "value"
        base = f"v_{base}" if base[0].isdecimal() else base[:40]
        place = self._places.get(base, 1)
        free = base if place == 1 else f"{base}_{place}"
        while free in self._declared or free in _TAKEN:
            place += 1
            free = f"{base}_{place}"
        self._places[base] = place
        self._declared[free] = Declared(free, declared.toml, declared.note, declared.original, declared.kind)
        if declared.original:
            self._names[_key(name, declared.original)] = free
            self._known[declared.original] = (*self._known.get(declared.original, ()), free)
        return _shown(free)


def outside(template: str, change: Callable[[str], str]) -> str:
    """A template in which everything but the placeholders is changed."""
    pieces, place = [], 0
    for found in _PLACEHOLDER.finditer(template):
        pieces += [change(template[place : found.start()]), found[0]]
        place = found.end()
    return "".join([*pieces, change(template[place:])])


def _key(name: str, text: str) -> tuple[str, str]:
    return ("" if len(text) >= _LONG_ENOUGH else name.lower()), text


def _shown(name: str) -> str:
    return f"{{{{{name}}}}}"
