"""The common shapes of schemes, taken apart further than others, for `_quick`. PURE.

Rule: a shape reads what it needs of a message in one order, a line each, and holds one pattern that these lines match
where they are spelled as signing spells them. Whatever the pattern takes, the general way reads alike.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from tocsin.signing._components import Parameters, body_after_url, hubspot_url, public_url
from tocsin.signing._content import Content
from tocsin.signing._digest import Digest
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._layout import Layout
from tocsin.signing._lines_pattern import NUMBERS, LinesPattern
from tocsin.signing._message import Message
from tocsin.signing._origin import parse_origin
from tocsin.signing._timestamp import TIMESTAMP_FORMATS

Found: TypeAlias = re.Match[str]
Pieces: TypeAlias = Callable[[Message, Found], tuple[bytes, ...]]

_NO_PARAMETERS = Parameters()
# The group that holds an empty text.
_NOTHING = ""
_READ = frozenset({"signature", "timestamp", "nonce", "key_id", "digest"})


# The components that are texts of the request line or of the public origin.
_LINES: Mapping[str, Callable[[Message], str]] = MappingProxyType(
    {
        "method": attrgetter("method"),
        "path": attrgetter("path"),
        "query": attrgetter("query"),
        "target": attrgetter("target"),
        "url": public_url,
        "hubspot_url": hubspot_url,
        "host": lambda message: parse_origin(message.public_origin).host,
        "port": lambda message: str(parse_origin(message.public_origin).port),
    }
)
_BODIES: Mapping[str, Callable[[Message], bytes]] = MappingProxyType(
    {
        "body": attrgetter("body"),
        "body_sha256": lambda message: hashlib.sha256(message.body).hexdigest().encode("ascii"),
    }
)
# The components that a reader of their own reads as the content's readers do, and sooner.
_OCTETS: Mapping[str, Callable[[Message], bytes]] = MappingProxyType(
    {"url": lambda message: public_url(message).encode("ascii"), **_BODIES}
)
_AFTER_URL: Mapping[str, Callable[[Message], bytes]] = MappingProxyType({"body": body_after_url})


@dataclass(frozen=True, slots=True)
class Bare:
    """A scheme that sends nothing but the signature, perhaps after a literal: what it signs is all in the request.

    Args:
        header: the signature's header, in lower case.
        literal: what stands before the signature.
        value_length: the length of both.
        encode: the signature's spelling.
        pieces: the signed octets of a message, the body as it is; None if they are the body alone.
    """

    header: str
    literal: str
    value_length: int
    encode: Callable[[bytes], str]
    pieces: Callable[[Message], tuple[bytes, ...]] | None


@dataclass(frozen=True, slots=True)
class Shape:
    """A scheme of another common shape. `find_shape` builds it.

    Args:
        names: the headers that are read, in lower case.
        lengths: the lengths of these names.
        is_alone: whether there is only one.
        values: their values in order, the signature's first; of one header, its value.
        lines: what is read of a message after its headers.
        pattern: what all these are, joined by line breaks.
        signature: the group of the pattern that holds the signature.
        timestamp: that of the timestamp; 0 if none is signed.
        nonce: that of the nonce; 0 if none is signed.
        key_id: that of the key id; 0 if there is none.
        digest: that of the digest; 0 if none is carried.
        fits: whether a carried digest is the message's; None if none is carried.
        units_per_s: of the timestamp.
        least_age_s: how old the timestamp has to be: a negative number.
        most_age_s: how old it may be.
        encode: the signature's spelling.
        pieces: the signed octets of a message whose lines match, the body as it is.
    """

    names: frozenset[str]
    lengths: frozenset[int]
    is_alone: bool
    values: Callable[[dict[str, str]], Any]
    lines: tuple[Callable[[Message], str], ...]
    pattern: re.Pattern[str]
    signature: int
    timestamp: int
    nonce: int
    key_id: int
    digest: int
    fits: Callable[[str, Message], bool] | None
    units_per_s: int
    least_age_s: float
    most_age_s: float
    encode: Callable[[bytes], str]
    pieces: Pieces


def find_shape(
    content: Content,
    layout: Layout,
    *,
    header: str,
    read: tuple[tuple[str, str], ...],
    encoding: str,
    signature_length: int,
    timestamp_format: str,
    tolerance_past_s: float,
    tolerance_future_s: float,
    digest: Digest | None,
) -> Bare | Shape | None:
    """The shape of a scheme, None if it has none.

    Args:
        content: what is signed.
        layout: the value of the signature's header.
        header: the signature's header.
        read: kind and name of the headers of their own that verifying reads.
        encoding: of the signature.
        signature_length: its characters.
        timestamp_format: of the timestamp.
        tolerance_past_s: of the timestamp.
        tolerance_future_s: of the timestamp.
        digest: the spelling of the digest that is carried, or None.
    """
    if _is_bare(content, layout, read):
        literal = layout.slots[0].before
        return Bare(
            header=header.lower(),
            literal=literal,
            value_length=len(literal) + signature_length,
            encode=ENCODINGS[encoding],
            pieces=_bare_pieces(content),
        )
    number = NUMBERS.get(timestamp_format, "")
    if not _is_common(content, layout, {kind for kind, _name in read}, is_number=number != ""):
        return None
    signed = [(f"header:{name.lower()}", name) for name in content.headers]
    lines = [name for name in content.components if name in _LINES] if _is_written(content) else []
    pattern = LinesPattern(signature_length, number)
    pattern.add_value(layout)
    for kind in (*[kind for kind, _name in (*read, *signed)], *lines):
        pattern.add_line(kind)
    pattern.add_group(_NOTHING, "")
    groups = pattern.groups
    names = [name.lower() for name in (header, *[name for _kind, name in (*read, *signed)])]
    return Shape(
        names=frozenset(names),
        lengths=frozenset(map(len, names)),
        is_alone=len(names) == 1,
        values=itemgetter(*names),
        lines=_line_readers(lines),
        pattern=re.compile(pattern.pattern),
        signature=groups["signature"],
        timestamp=groups.get("timestamp", 0),
        nonce=groups.get("nonce", 0),
        key_id=groups.get("key_id", 0),
        digest=groups.get("digest", 0),
        fits=None if digest is None else digest.fits,
        units_per_s=TIMESTAMP_FORMATS[timestamp_format].units_per_s,
        # Floats: between a float and an integer, a comparison takes twice as long.
        least_age_s=-float(tolerance_future_s),
        most_age_s=float(tolerance_past_s),
        encode=ENCODINGS[encoding],
        pieces=_pieces(content, groups),
    )


def _line_readers(names: list[str]) -> tuple[Callable[[Message], str], ...]:
    """What reads these lines in order; a path and its query at once."""
    readers: list[Callable[[Message], str]] = []
    for name in names:
        if name == "query" and readers and readers[-1] is _LINES["path"]:
            readers[-1] = _path_and_query
        else:
            readers.append(_LINES[name])
    return tuple(readers)


def _path_and_query(message: Message) -> str:
    path, _, query = message.target.partition("?")
    return f"{path}\n{query}"


def _is_bare(content: Content, layout: Layout, read: tuple[tuple[str, str], ...]) -> bool:
    is_alone = layout.separator is None and len(layout.slots) == 1 and not layout.slots[0].after
    return is_alone and not read and not content.headers


def _bare_pieces(content: Content) -> Callable[[Message], tuple[bytes, ...]] | None:
    if content.is_body:
        return None
    if any(content.literals) or not {*content.components} <= _OCTETS.keys():
        return lambda message: content.octets(message, _NO_PARAMETERS)
    octets = {**_OCTETS, **_AFTER_URL} if content.joins_url_and_body else _OCTETS
    readers = [octets[name] for name in content.components]
    return lambda message: tuple([read(message) for read in readers])


def _is_common(content: Content, layout: Layout, own: set[str], *, is_number: bool) -> bool:
    kinds = layout.parameters | own
    return (
        kinds <= _READ
        # What no signature covers may stand in the value; the general way knows to look past it.
        and all((kind in kinds) == content.covers(kind) for kind in ("timestamp", "nonce"))
        and (is_number or "timestamp" not in kinds)
        and not any((layout.separator or "\n")[0] in slot.before + slot.after for slot in layout.slots)
    )


def _is_written(content: Content) -> bool:
    """Whether the signed octets are written from the lines and the body, and not read by the content's own readers."""
    names = {name.partition(":")[0] for name in content.components}
    return names <= _READ | _LINES.keys() | _BODIES.keys() | {"header"} and not names >= _BODIES.keys()


def _pieces(content: Content, groups: Mapping[str, int]) -> Pieces:
    if not _is_written(content):
        given = {kind: groups[kind] for kind in Parameters._fields if kind in groups}
        return lambda message, found: content.octets(
            message, Parameters(**{kind: found[group] for kind, group in given.items()})
        )
    bodies = {**_BODIES, **_AFTER_URL} if content.joins_url_and_body else _BODIES
    body = next((bodies[name] for name in content.components if name in bodies), None)
    before, *rest = _sides(content, groups)
    start, starts = _template(before, groups[_NOTHING])
    # Not one loop over the pieces: it would cost as much again as what is in it.
    if body is None:
        return lambda _message, found: ((start % starts(found)).encode(),)
    (after,) = rest
    if not after.template:
        return lambda message, found: ((start % starts(found)).encode(), body(message))
    end, ends = _template(after, groups[_NOTHING])
    return lambda message, found: ((start % starts(found)).encode(), body(message), (end % ends(found)).encode())


class _Side(NamedTuple):
    """What stands on one side of the body: a template, and the groups that fill it in."""

    template: str
    groups: tuple[int, ...]


def _sides(content: Content, groups: Mapping[str, int]) -> Iterator[_Side]:
    """What stands before the body, and after it if there is one."""
    side = _Side("", ())
    names = iter(content.components)
    for part in content.parts:
        if isinstance(part, bytes):
            side = side._replace(template=side.template + part.decode("utf-8").replace("%", "%%"))
        elif (name := next(names)) in _BODIES:
            yield side
            side = _Side("", ())
        else:
            group = groups[name.lower() if name.startswith("header:") else name]
            side = _Side(f"{side.template}%s", (*side.groups, group))
    yield side


def _template(side: _Side, nothing: int) -> tuple[str, Callable[[Found], Any]]:
    """A template and what reads the texts for it: one at least, so an empty one where there is no other."""
    template, groups = side if side.groups else (f"{side.template}%s", (nothing,))
    return template, itemgetter(*groups)
