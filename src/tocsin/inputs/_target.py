"""From a recorded request target to a plan's template. PURE."""

import re
from urllib.parse import quote

from tocsin.inputs._body import template_pair, template_query
from tocsin.inputs._secrets import is_secret
from tocsin.inputs._variables import Variables
from tocsin.inputs._words import singular

# A segment that names one thing among many: a number, or something with a digit in it.
_NAMES_ONE = re.compile(r"[0-9]+|(?=.*[0-9])[A-Za-z0-9._:~-]{6,}")
_VERSION = re.compile(r"v[0-9]+(\.[0-9]+)*")


def operation_noun(path: str) -> str:
    """What a request to this path makes, in one word: "order" of /api/orders and of /orders/o-17/cancel."""
    nouns = [part for part in path.split("/") if re.fullmatch(r"[A-Za-z][A-Za-z_-]*", part) and part != "api"]
    return singular(nouns[0].lower()) if nouns else ""


def wire_target(target: str) -> str:
    """A target in which everything that RFC 3986 does not allow is percent-encoded; braces are left to templates."""
    return quote(target, safe="/?%!$&'()*+,;:=@~[]{}", errors="replace")


def template_target(target: str, variables: Variables) -> str:
    """The target with placeholders for the values in it. A value stays percent-encoded, as it will be inserted."""
    path, mark, query = wire_target(target).partition("?")
    parts = path.split("/")
    shown = [_with_parameters(part, parts[place - 1] if place else "", variables) for place, part in enumerate(parts)]
    return "/".join(shown) + mark + (template_query(query, variables) if query else "")


def _with_parameters(part: str, before: str, variables: Variables) -> str:
    """A segment, and the parameters that some write into it (RFC 3986 section 3.3): /pay;jsessionid=..."""
    segment, *parameters = part.split(";")
    shown = template_pair(segment, variables) if "=" in segment else _segment(segment, before, variables)
    return ";".join([shown, *(template_pair(one, variables) for one in parameters)])


def _segment(part: str, before: str, variables: Variables) -> str:
    if not part or _VERSION.fullmatch(part):
        return part
    if is_secret("", part):
        return variables.placeholder("secret_part", part) or part
    known = variables.known(part)
    if known is not None:
        return known
    if _NAMES_ONE.fullmatch(part):
        return variables.placeholder(f"{singular(before) or 'thing'}_id", part, is_there=True) or part
    return part
