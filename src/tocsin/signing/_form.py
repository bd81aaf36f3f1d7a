"""Bodies of the type application/x-www-form-urlencoded, read strictly. PURE.

Rule: lenient parsers drop what they do not understand, so that bytes could be added under a valid signature. Here every
pair has its "=", every "%" two digits, and every other octet is visible ASCII.
"""

import re
from urllib.parse import quote_plus

from tocsin.signing._pointer import PointerError

_TEXT = re.compile(rb"(?:[!-$'-<>-~]|%[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def parse_form(body: bytes) -> tuple[tuple[str, str], ...]:
    """The pairs of name and value, decoded, in order.

    Raises:
        PointerError: the body is no form.
    """
    return tuple([_pair(pair) for pair in body.split(b"&")]) if body else ()


def form_members(body: bytes) -> dict[str, str]:
    """A form in which every name is there once.

    Raises:
        PointerError: the body is no form, or gives a name twice.
    """
    pairs = parse_form(body)
    members = dict(pairs)
    if len(members) != len(pairs):
        raise PointerError("the body gives a field twice")
    return members


def render_form(members: dict[str, str]) -> bytes:
    """The form's octets."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in members.items()).encode("ascii")


def _pair(pair: bytes) -> tuple[str, str]:
    name, equals, value = pair.partition(b"=")
    if not name or not equals:
        raise PointerError("the body is not a form: a field has no name or no '='")
    return _decoded(name), _decoded(value)


def _decoded(text: bytes) -> str:
    if not _TEXT.fullmatch(text.replace(b"=", b"")):
        raise PointerError("the body is not a form: a field is not percent-encoded")
    octets = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text.replace(b"+", b" "))
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise PointerError("the body is not a form: a field is not UTF-8") from None
