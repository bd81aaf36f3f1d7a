"""Other bodies in place of the plan's: respelled, malformed, with odd values. PURE.

Rule: everything is derived from the body that the plan renders; no member is known by name. A respelling is the same
document in other bytes, and numbers keep their digits.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from tocsin.findings import Json

Path: TypeAlias = "tuple[str | int, ...]"

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s"\[\]{},:]+')
_ESCAPABLE = re.compile(r'"([A-Za-z0-9])')


def document(body: bytes) -> Json:
    """What a JSON body holds. Raises ValueError if it is no JSON."""
    found: Json = json.loads(body.decode("utf-8"))
    return found


def is_json(body: bytes) -> bool:
    """Whether a body is JSON."""
    try:
        document(body)
    except (ValueError, RecursionError):
        return False
    return True


def rendered(value: Json, *, like: bytes) -> bytes:
    """A document as JSON, spaced like another body: a service may verify what it has serialised again."""
    spaced = json.dumps(document(like), ensure_ascii=False).encode() == like
    return json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":")).encode()


def respelled(body: bytes) -> dict[str, bytes]:
    """The same JSON document in other bytes: `spacing`, `member_order`, `escapes`, as far as there is any to change."""
    tokens = _TOKEN.findall(body.decode("utf-8"))
    compact = "".join(tokens)
    spelled = {
        "spacing": compact if compact.encode() != body else "".join(_spaced(tokens)),
        "member_order": _reversed_members(tokens),
        "escapes": _ESCAPABLE.sub(_escaped, body.decode("utf-8")),
    }
    return {name: text.encode() for name, text in spelled.items() if text and text.encode() != body}


def malformed(body: bytes) -> dict[str, bytes]:
    """Bodies that the operation cannot mean: cut off, not UTF-8, empty; and, of JSON, wrongly typed and incomplete."""
    middle = len(body) // 2
    found = {"truncated": body[:middle], "not_utf8": body[:middle] + b"\xff\xfe" + body[middle:], "empty": b""}
    if is_json(body):
        value = document(body)
        found["other_types"] = rendered(other_type_throughout(value), like=body)
        found["no_object"] = b"[]" if isinstance(value, Mapping) else b"{}"
        if isinstance(value, Mapping):
            found["no_members"] = b"{}"
            for member in value:
                found[f"without {pointer((member,))}"] = rendered(without(value, (member,)), like=body)
    return found


def no_objects(body: bytes) -> dict[str, bytes]:
    """Bodies in place of a JSON object that are none."""
    return {
        "a list": b"[" + body + b"]",
        "a text": b'"text"',
        "a number": b"7",
        "null": b"null",
        "nothing": b"",
        "half of it": body[: len(body) // 2],
        "not UTF-8": b"\xff\xfe" + body,
    }


def differing(one: Json, other: Json, path: Path = ()) -> Iterator[Path]:
    """Where two documents of one template hold different values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        for name in one:
            yield from differing(one[name], other[name], (*path, name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differing(left, right, (*path, place))
    elif one != other:
        yield path


def pointer(path: Path) -> str:
    """A path as a JSON pointer (RFC 6901 section 3)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def value_at(found: Json, path: Path) -> Json:
    """What stands at a path."""
    for step in path:
        found = _member(found, step)
    return found


def with_value(found: Json, path: Path, value: Json) -> Json:
    """A copy with another value at a path."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(found, Mapping):
        return {name: with_value(old, rest, value) if name == step else old for name, old in found.items()}
    return [with_value(old, rest, value) if place == step else old for place, old in enumerate(_items(found))]


def without(found: Json, path: Path) -> Json:
    """A copy without what stands at a path, which is not empty."""
    step, rest = path[0], path[1:]
    if rest:
        return with_value(found, (step,), without(_member(found, step), rest))
    if isinstance(found, Mapping):
        return {name: old for name, old in found.items() if name != step}
    return [old for place, old in enumerate(_items(found)) if place != step]


def other_type(value: Json) -> Json:
    """A value of another type."""
    return 7 if isinstance(value, str) or value is None else "seven"


def other_type_throughout(value: Json) -> Json:
    """The same structure, every value in it of another type."""
    if isinstance(value, Mapping) and value:
        return {name: other_type_throughout(member) for name, member in value.items()}
    if isinstance(value, list) and value:
        return [other_type_throughout(item) for item in value]
    return other_type(value)


def _member(found: Json, step: str | int) -> Json:
    if isinstance(found, Mapping):
        return found[str(step)]
    return _items(found)[int(step)]


def _items(found: Json) -> Sequence[Json]:
    assert isinstance(found, list), "a path leads through objects and lists"
    return found


def _spaced(tokens: Sequence[str]) -> Iterator[str]:
    for part in tokens:
        yield part + " " if part in {",", ":"} else part


def _escaped(found: re.Match[str]) -> str:
    """The first character of a text in its long spelling (RFC 8259 section 7)."""
    return f'"\\u{ord(found[1]):04x}'


def _reversed_members(tokens: Sequence[str]) -> str:
    """The members of the outermost object in reverse order; "" where there are no two of them."""
    if tokens[0] != "{":
        return ""
    members: list[list[str]] = [[]]
    depth = 0
    for part in tokens[1:-1]:
        depth += (part in {"{", "["}) - (part in {"}", "]"})
        if part == "," and depth == 0:
            members.append([])
        else:
            members[-1].append(part)
    if len(members) == 1:
        return ""
    return "{" + ",".join("".join(member) for member in reversed(members)) + "}"
