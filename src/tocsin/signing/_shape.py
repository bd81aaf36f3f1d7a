"""The common shapes of schemes, taken apart further than others, for `_quick`. PURE.

Rule: a shape is a scheme whose signature, timestamp and key id stand bare in headers, each text between a literal and
an end. What reads bodies, nonces or lists of covered headers has no shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tocsin.signing._content import Content
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._layout import Layout
from tocsin.signing._timestamp import TIMESTAMP_FORMATS

# Of numbers with so many digits, all lie before the year 9999.
_DIGITS = {"unix": 11, "unix_ms": 14}
_READ = {"signature", "timestamp", "key_id"}
# The texts in a value are named by their kind after a colon: no header is called so, because it ends a field's name.
SIGNATURE = ":signature"


@dataclass(frozen=True, slots=True)
class Shape:
    """A scheme of a common shape. Build it with `Shape.compile`.

    Args:
        header: the signature's header, in lower case.
        names: the headers that are read, in lower case: the signature's, those of parameters, the signed ones.
        lengths: the lengths of these names.
        is_alone: whether it is the only header that is read.
        separator: what separates the items of the value, or None.
        literal: what stands before the signature, in a value that is no list.
        items: name and literal of each item, in a value that is one.
        timestamp: the name of the header or the item that holds the signed timestamp, "" if none is signed.
        timestamp_digits: how many digits it may have.
        units_per_s: of the timestamp.
        key_id: the name of the header or the item that holds the key id, "" if there is none.
        encode: the signature's spelling.
        is_body: whether the content is the body alone.
        around: what stands before and after the body and nothing else, %b for the timestamp on one side of it; or None.
        is_stamped_before: whether the timestamp stands before the body.
    """

    header: str
    names: frozenset[str]
    lengths: frozenset[int]
    is_alone: bool
    separator: str | None
    literal: str
    items: tuple[tuple[str, str], ...]
    timestamp: str
    timestamp_digits: int
    units_per_s: int
    key_id: str
    encode: Callable[[bytes], str]
    is_body: bool
    around: tuple[bytes, bytes] | None
    is_stamped_before: bool

    @classmethod
    def compile(
        cls,
        content: Content,
        layout: Layout,
        *,
        header: str,
        read: tuple[tuple[str, str], ...],
        encoding: str,
        timestamp_format: str,
    ) -> "Shape | None":
        """The shape of a scheme, None if it has none.

        Args:
            content: what is signed.
            layout: the value of the signature's header.
            header: the signature's header.
            read: kind and name of the headers of their own that verifying reads.
            encoding: of the signature.
            timestamp_format: of the timestamp.
        """
        kinds = [slot.kind for slot in layout.slots] + [kind for kind, _name in read]
        is_signed = content.covers("timestamp")
        if (
            not {*kinds} <= _READ
            or (("timestamp" in kinds) != is_signed)
            or (is_signed and timestamp_format not in _DIGITS)
            or any(slot.after for slot in layout.slots)
            or (layout.separator is None and len(layout.slots) > 1)
            or layout.scheme_name
        ):
            return None
        names = frozenset(name.lower() for name in (header, *dict(read).values(), *content.headers))
        places = {slot.kind: f":{slot.kind}" for slot in layout.slots} | {kind: name.lower() for kind, name in read}
        return cls(
            header=header.lower(),
            names=names,
            lengths=frozenset(map(len, names)),
            is_alone=len(names) == 1,
            separator=layout.separator,
            literal=layout.slots[0].before,
            items=tuple((f":{slot.kind}", slot.before) for slot in layout.slots),
            timestamp=places.get("timestamp", ""),
            timestamp_digits=_DIGITS.get(timestamp_format, 0),
            units_per_s=TIMESTAMP_FORMATS[timestamp_format].units_per_s,
            key_id=places.get("key_id", ""),
            encode=ENCODINGS[encoding],
            is_body=content.components == ("body",) and len(content.parts) == 1,
            around=_around(content) if {*content.components} == {"timestamp", "body"} else None,
            is_stamped_before=content.components[0] == "timestamp",
        )


def _around(content: Content) -> tuple[bytes, bytes]:
    names = iter(content.components)
    sides: list[list[bytes | None]] = [[]]
    for part in content.parts:
        if isinstance(part, bytes):
            sides[-1].append(part)
        elif next(names) == "timestamp":
            sides[-1].append(None)
        else:
            sides.append([])
    before, after = (_template(side) for side in sides)
    return before, after


def _template(side: list[bytes | None]) -> bytes:
    """A side as it is, or, if the timestamp is in it, as a template for it."""
    if None not in side:
        return b"".join([part or b"" for part in side])
    return b"".join([b"%b" if part is None else part.replace(b"%", b"%%") for part in side])
