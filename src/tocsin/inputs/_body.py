"""From a recorded body to a plan's template. PURE.

Rule: of JSON and of forms it is known what is a value, so values that must not stand in a plan are taken out. Any other
body is left out whole, for what is secret in it cannot be told.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote, unquote_plus

from tocsin.inputs._secrets import is_secret
from tocsin.inputs._variables import Variables, outside
from tocsin.inputs._words import vocabulary


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
        return template_query(text.strip(), variables), ""
    shown = content_type.partition(";")[0] or "no content type"
    return "", f"TODO: the source's body ({shown}) is left out: what in it is secret cannot be told"


def template_json(value: Value, variables: Variables, name: str = "", *, spelled: Callable[[str], str] = str) -> str:
    """A JSON value as text, with placeholders.

    Args:
        value: where numbers may be given as `Number`.
        variables: take what is to be replaced.
        name: of the member that it is the value of.
        spelled: how this text is written into what it stands in: values of variables are inserted there verbatim.
    """
    if isinstance(value, Mapping):
        members = (
            f"{json.dumps(key)}:{template_json(item, variables, _called(key, value, name), spelled=spelled)}"
            for key, item in value.items()
        )
        return f"{{{','.join(members)}}}"
    if isinstance(value, Number) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return variables.placeholder(name, str(value)) or str(value)
    if isinstance(value, str):
        inner = _template_within(value, variables, name, lambda text: spelled(_escaped(text)))
        if inner is not None:
            return f'"{_escaped(inner)}"'
        text = _escaped(value)
        return f'"{variables.placeholder(name, spelled(text), meant=value) or text}"'
    if isinstance(value, Sequence):
        return f"[{','.join(template_json(item, variables, name, spelled=spelled) for item in value)}]"
    return json.dumps(value)


def _escaped(text: str) -> str:
    """A text as it stands between the quotes of JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _template_within(text: str, variables: Variables, name: str, spelled: Callable[[str], str]) -> str | None:
    """The template of a JSON object or list that a text is; None where it is none, or nothing in it is replaced."""
    if text.lstrip()[:1] not in {"{", "["} or is_secret(name, ""):
        return None
    try:
        template = template_json(_parsed(text), variables, name, spelled=spelled)
    except ValueError:
        return None
    except RecursionError:
        # Nobody has looked at what is in it.
        variables.hide(text)
        return None
    return template if variables.mentioned(template) else None


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="replace")


_LABELS = vocabulary("name key field label id type param parameter header variable")
_LABELLED = vocabulary("value values val content data text")


def _called(key: str, members: Mapping[str, Value], name: str) -> str:
    """What a member is: of {"name": "password", "value": "..."}, and of {"password": {"value": "..."}}, a password."""
    if key.lower() not in _LABELLED or isinstance(members[key], Mapping):
        return key
    labels = (label for other, label in members.items() if other.lower() in _LABELS and isinstance(label, str))
    return next((label for label in (name, *labels) if is_secret(label, "")), key)


def _parsed(text: str) -> Value:
    value: Value = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_number)
    return value


def _no_number(name: str) -> Value:
    raise ValueError(name)


def template_query(query: str, variables: Variables) -> str:
    """A form, or the query of a target, value by value."""
    return "".join(part if part in {"&", ";"} else template_pair(part, variables) for part in re.split("([&;])", query))


def template_pair(pair: str, variables: Variables) -> str:
    """One name=value of a form, a query or a segment. A value stays percent-encoded, as it will be inserted."""
    name, equals, value = pair.partition("=")
    if not equals:
        return variables.placeholder("secret_part", pair) or pair if is_secret("", pair) else pair
    called = unquote_plus(name)
    inner = _template_within(unquote_plus(value), variables, called, _encoded)
    if inner is not None:
        return f"{name}={outside(inner, _encoded)}"
    return f"{name}={variables.placeholder(called, value) or value}"
