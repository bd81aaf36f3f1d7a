"""From a recorded body to a plan's template. PURE.

Rule: of JSON and of forms it is known what is a value, so values that must not stand in a plan are taken out. Any other
body is left out whole, for what is secret in it cannot be told.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import unquote_plus

from tocsin.inputs._variables import Variables


class Number(str):
    """A number of JSON as it was written: 1.10 stays 1.10."""

    __slots__ = ()


Value: TypeAlias = "bool | int | float | str | Number | Sequence[Value] | Mapping[str, Value] | None"


def template_body(body: bytes, content_type: str, variables: Variables) -> tuple[str, str]:
    """The template, and what is to be said about it.

    Args:
        body: as it was sent.
        content_type: what the request calls it.
        variables: take what is to be replaced.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return "", f"TODO: the source's body, {len(body)} octets, is no text: it is left out"
    if not text.strip():
        return "", ""
    try:
        return template_json(_parsed(text), variables), ""
    except (ValueError, RecursionError):
        pass
    if "form-urlencoded" in content_type.lower():
        return "&".join(_pair(pair, variables) for pair in text.strip().split("&")), ""
    shown = content_type.partition(";")[0] or "no content type"
    return "", f"TODO: the source's body ({shown}) is left out: what in it is secret cannot be told"


def template_json(value: Value, variables: Variables, name: str = "") -> str:
    """A JSON value as text, with placeholders.

    Args:
        value: where numbers may be given as `Number`.
        variables: take what is to be replaced.
        name: of the member that it is the value of.
    """
    if isinstance(value, Mapping):
        members = (f"{json.dumps(key)}:{template_json(item, variables, key)}" for key, item in value.items())
        return f"{{{','.join(members)}}}"
    if isinstance(value, Number) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return variables.placeholder(name, str(value)) or str(value)
    if isinstance(value, str):
        # Values of variables are inserted verbatim: as they stand between the quotes.
        text = json.dumps(value, ensure_ascii=False)[1:-1]
        return f'"{variables.placeholder(name, text) or text}"'
    if isinstance(value, Sequence):
        return f"[{','.join(template_json(item, variables, name) for item in value)}]"
    return json.dumps(value)


def _parsed(text: str) -> Value:
    value: Value = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_number)
    return value


def _no_number(name: str) -> Value:
    raise ValueError(name)


def _pair(pair: str, variables: Variables) -> str:
    """One name=value of a form, or of a query."""
    name, equals, value = pair.partition("=")
    # Still encoded: as it will be inserted.
    placeholder = variables.placeholder(unquote_plus(name), value)
    return pair if placeholder is None or not equals else f"{name}={placeholder}"


def template_query(query: str, variables: Variables) -> str:
    """The query of a target, value by value."""
    return "&".join(_pair(pair, variables) for pair in query.split("&"))
