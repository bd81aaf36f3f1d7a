"""Which reads of an OpenAPI description tell what an operation does. PURE.

Rule: a read belongs to an operation if its path is one of the same resource, or names what the operation's body names.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tocsin.inputs._document import Cursor
from tocsin.inputs._numbers import falls, weight
from tocsin.inputs._schema import numbers
from tocsin.inputs._sketch import Asked, Read
from tocsin.inputs._target import wire_target
from tocsin.inputs._variables import Variables
from tocsin.inputs._words import singular

PARAMETER: Final = re.compile(r"\{([^{}/]*)\}")
_SAME_THING, _NAMED_BY_OPERATION, _BESIDE = 5, 6, 3


def reads_beside(paths: Cursor, path: str, prefix: str, variables: Variables) -> Iterator[Read]:
    """Numbers in what is read of the resources that an operation names.

    Args:
        paths: of the description.
        path: of the operation.
        prefix: of all paths: the server's.
        variables: of the operation.
    """
    for other, item in paths.items():
        place = item.get("get")
        schema = None if place is None else _answer(place)
        if schema is None:
            continue
        filled, near = _near(other, path, variables)
        if not near:
            continue
        for pointer, name, is_list in numbers(schema):
            speaks = weight(name, is_list=is_list)
            if speaks:
                read = Read(
                    Asked(f"GET {wire_target(prefix + filled)}"), pointer, is_list, None, falls(name), near + speaks
                )
                yield replace(read, weight=read.weight - 2 * pointer.count("/"))


def _answer(place: Cursor) -> Cursor | None:
    """The schema of what is answered 2xx in JSON."""
    responses = place.get("responses")
    for status, response in responses.items() if responses is not None else ():
        content = response.get("content") if status.startswith("2") else None
        for kind, media in content.items() if content is not None else ():
            if "json" in kind:
                return media.get("schema")
    return None


def _near(path: str, operation: str, variables: Variables) -> tuple[str, int]:
    """A read's path with variables in it, and how near it is to the operation: 0 where nothing ties them."""
    parts, own = path.strip("/").split("/"), operation.strip("/").split("/")
    declared = {one.name.replace("_", ""): one.name for one in variables}
    filled, is_tied = [], False
    for place, part in enumerate(parts):
        name = PARAMETER.fullmatch(part)
        if name is None:
            filled.append(part)
            continue
        noun = singular(parts[place - 1]) if place else ""
        spellings = (re.sub("[^a-z0-9]", "", one.lower()) for one in (name[1], noun + name[1], f"{noun}id", noun))
        variable = next((declared[one] for one in spellings if one in declared), None)
        if variable is None:
            return path, 0
        is_tied = True
        filled.append(f"{{{{{variable}}}}}")
    shown = "/" + "/".join(filled)
    if is_tied:
        return shown, _NAMED_BY_OPERATION
    if own[: len(parts)] == parts:
        return shown, _SAME_THING
    return shown, _BESIDE if parts[:1] == own[:1] and not PARAMETER.search(path) else 0
