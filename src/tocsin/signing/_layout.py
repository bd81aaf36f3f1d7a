"""The value of the signature header: "sha256=<hex>", "t=<unix>,v1=<hex>,v1=<hex>". PURE.

Rule: what is declared is read, and nothing is guessed. Without an item separator the whole value must have the
template's shape. With one, the value is a list: every signature in it is tried, items of another shape (another
version, junk) are skipped, and anything but a signature may be there only once.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from tocsin.signing._errors import Duplicated, Malformed, SchemeError
from tocsin.signing._template import Part, Placeholder, parse_template

PARAMETER_KINDS = frozenset({"timestamp", "nonce", "key_id", "digest", "date", "covered"})
_VALUE_KINDS = PARAMETER_KINDS | {"signature"}

# Room for 50 hex signatures of SHA-256, where a sender that rotates sends 2; far below the 8 KiB that servers allow.
MAX_VALUE_CHARACTERS = 4096
MAX_ITEMS = 64
# What a sender signs, where it chooses: no honest request has that many headers worth it.
MAX_COVERED = 64
_SEPARATORS = (",", ";", " ", "&", ", ")
# RFC 9110 section 11.4: the name of the authentication scheme stands before the list, whatever the list's order.
_SCHEME_NAME = re.compile(r"^[A-Za-z0-9-]+ ")


class Presented(NamedTuple):
    """What a header's value holds.

    Args:
        signatures: the text of every signature in it, at least one, in order.
        parameters: the timestamp, nonce, key id and so on in it, by kind.
    """

    signatures: tuple[str, ...]
    parameters: dict[str, str]


def read_printable(value: str, part: str) -> str:
    """The value of a header that may be parsed at all.

    Raises:
        Malformed: it is too long, or not printable ASCII.
    """
    if len(value) > MAX_VALUE_CHARACTERS:
        raise Malformed(part, f"has {len(value)} characters; wanted at most {MAX_VALUE_CHARACTERS}")
    if not value.isascii() or not value.isprintable():
        raise Malformed(part, "has characters other than printable ASCII")
    return value


@dataclass(frozen=True, slots=True)
class _Slot:
    """A placeholder between its literals."""

    before: str
    kind: str
    after: str

    def match(self, text: str) -> str | None:
        if not (text.startswith(self.before) and text.endswith(self.after)):
            return None
        end = len(text) - len(self.after)
        return text[len(self.before) : end] if len(self.before) <= end else None


@dataclass(frozen=True, slots=True)
class Layout:
    """A compiled value template. Build it with `Layout.compile`."""

    part: str
    template: str
    separator: str | None
    scheme_name: str
    slots: tuple[_Slot, ...]

    @classmethod
    def compile(cls, template: str, *, header: str, separator: str | None) -> "Layout":
        """Check the template and take it apart.

        Raises:
            SchemeError: the template cannot be read back unambiguously, or cannot stand in a header.
        """
        if not template.isascii() or not template.isprintable():
            raise SchemeError(f"value = {template!r}: wanted printable ASCII, because it stands in a header")
        scheme_name = ""
        if separator is None:
            slots = _slots(template)
        elif separator in _SEPARATORS:
            scheme_name = "" if separator == " " else "".join(_SCHEME_NAME.findall(template))
            slots = _item_slots(template.removeprefix(scheme_name), separator)
        else:
            wanted = ", ".join(repr(known) for known in _SEPARATORS)
            raise SchemeError(f"item_separator = {separator!r}: wanted one of {wanted}")
        kinds = [slot.kind for slot in slots]
        if kinds.count("signature") != 1 or len(set(kinds)) != len(kinds):
            raise SchemeError(f"value = {template!r}: wanted {{signature}} once, and nothing twice")
        return cls(f"header {header}", template, separator, scheme_name, slots)

    @property
    def parameters(self) -> frozenset[str]:
        """The kinds that stand in the value beside the signature."""
        return frozenset(slot.kind for slot in self.slots) - {"signature"}

    @property
    def signature_prefix(self) -> str:
        """The literal right before the signature: "sha256=", "v1="; with a list, within its item."""
        return next(slot.before for slot in self.slots if slot.kind == "signature")

    def render(self, signature: str, parameters: dict[str, str]) -> str:
        """The header's value."""
        texts = {**parameters, "signature": signature}
        rendered = [slot.before + texts[slot.kind] + slot.after for slot in self.slots]
        return self.scheme_name + (self.separator or "").join(rendered)

    def read(self, value: str) -> Presented:
        """Take a value apart.

        Raises:
            Malformed: the value is too long, not printable ASCII, or not of the declared shape.
            Duplicated: a list holds a timestamp, nonce or key id twice.
        """
        read_printable(value, self.part)
        if self.separator is None:
            return self._read_whole(value)
        if not value.startswith(self.scheme_name):
            raise self._misshapen()
        return self._read_items(value.removeprefix(self.scheme_name).split(self.separator))

    def _read_whole(self, value: str) -> Presented:
        if not value.startswith(self.slots[0].before):
            raise self._misshapen()
        found: dict[str, str] = {}
        rest = value
        for slot in self.slots[:-1]:
            text, literal, rest = rest[len(slot.before) :].partition(slot.after)
            if not literal:
                raise self._misshapen()
            found[slot.kind] = text
        last = self.slots[-1].match(rest)
        if last is None:
            raise self._misshapen()
        found[self.slots[-1].kind] = last
        return Presented((found.pop("signature"),), found)

    def _read_items(self, items: list[str]) -> Presented:
        if len(items) > MAX_ITEMS:
            raise Malformed(self.part, f"has {len(items)} items; wanted at most {MAX_ITEMS}")
        signatures: list[str] = []
        found: dict[str, str] = {}
        for item in items:
            for slot in self.slots:
                text = slot.match(item)
                if text is None:
                    continue
                if slot.kind == "signature":
                    signatures.append(text)
                elif slot.kind in found:
                    raise Duplicated(f"the {slot.kind} in {self.part}")
                else:
                    found[slot.kind] = text
        if not signatures or found.keys() != self.parameters:
            raise self._misshapen()
        return Presented(tuple(signatures), found)

    def _misshapen(self) -> Malformed:
        return Malformed(self.part, f"does not have the shape {self.template}")


def _slots(template: str) -> tuple[_Slot, ...]:
    """Each placeholder with the literal before it (for all but the first: none) and the literal after it."""
    parts = parse_template(template, field="value", known=_VALUE_KINDS)
    slots: list[_Slot] = []
    before = ""
    for index, part in enumerate(parts):
        if isinstance(part, str):
            before = part if index == 0 else ""
            continue
        after = _literal(parts, index + 1)
        if not after and index + 1 < len(parts):
            raise SchemeError(f"value = {template!r}: nothing separates {part} from {parts[index + 1]}")
        slots.append(_Slot(before, part.kind, after))
        before = ""
    return tuple(slots)


def _literal(parts: tuple[Part, ...], index: int) -> str:
    part = parts[index] if index < len(parts) else ""
    return "" if isinstance(part, Placeholder) else part


def _item_slots(template: str, separator: str) -> tuple[_Slot, ...]:
    slots: list[_Slot] = []
    for item in template.split(separator):
        found = _slots(item)
        if len(found) != 1:
            raise SchemeError(f"value = {template!r}: item {item!r} holds {len(found)} placeholders; wanted one")
        slots.extend(found)
    for slot in slots:
        if any(other is not slot and other.before.startswith(slot.before) for other in slots):
            raise SchemeError(f"value = {template!r}: two items begin alike, with {slot.before!r}")
    return tuple(slots)
