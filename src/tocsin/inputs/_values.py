"""What a value in somebody's request is: a secret, an instant, an id of the operation, a name of something else. PURE.

Rule: judged by its name and its shape, and a secret before anything else.
"""

import re
from enum import Enum
from typing import Final

from tocsin.inputs._secrets import ISO, UUID, is_secret
from tocsin.inputs._words import ID_WORDS, OPERATION_WORDS, THING_WORDS, singular, vocabulary, words

_INSTANT_WORDS: Final = vocabulary("timestamp time ts at date datetime created sent now issued")
_NOT_NOW: Final = vocabulary("expires expire expiry until due birth start end valid from to")
_COUNTER_WORDS: Final = vocabulary("seq sequence version revision")

_HEX16: Final = re.compile(r"[0-9a-f]{16}")
_SECONDS: Final = re.compile(r"1[0-9]{9}")
_MILLISECONDS: Final = re.compile(r"1[0-9]{12}")


class Kind(Enum):
    """What a value is for a plan."""

    SECRET = "secret"  # noqa: S105  a kind, not a secret
    INSTANT = "instant"
    FRESH = "fresh"
    THING = "thing"
    PLAIN = "plain"


def classify(name: str, text: str, *, about: str = "") -> Kind:
    """What a value is.

    Args:
        name: of the member, header or parameter.
        text: the value.
        about: what the operation makes, in one word: its id is a fresh one.
    """
    named = words(name)
    if is_secret(name, text):
        return Kind.SECRET
    if instant_variable(name, text):
        return Kind.INSTANT
    is_id = bool(named & ID_WORDS)
    if named & _COUNTER_WORDS and text.isdecimal():
        return Kind.FRESH
    if is_id and (named & (OPERATION_WORDS | {about}) or named <= ID_WORDS):
        return Kind.FRESH
    if is_id or named & THING_WORDS or UUID.fullmatch(text):
        return Kind.THING
    return Kind.PLAIN


def instant_variable(name: str, text: str) -> str:
    """The variable of a plan that spells the instant as this value does, or "" where it is no instant of sending."""
    named = words(name)
    if not named & _INSTANT_WORDS or named & _NOT_NOW:
        return ""
    spellings = {"timestamp": _SECONDS, "timestamp_ms": _MILLISECONDS, "timestamp_iso": ISO}
    return next((variable for variable, shape in spellings.items() if shape.fullmatch(text)), "")


def fresh_like(name: str, text: str) -> str:
    """How a plan declares a fresh variable that looks as this value does, in TOML."""
    if UUID.fullmatch(text):
        return '{ fresh = "uuid4" }'
    if _HEX16.fullmatch(text):
        return '{ fresh = "hex16" }'
    if text.isdecimal():
        return '{ fresh = "counter" }'
    prefix = re.match(r"[A-Za-z]*[-_.:]|[A-Za-z]{1,8}(?=[0-9])|", text)
    assert prefix is not None, "it matches the empty text"
    before = prefix[0] or f"{singular(re.sub(r'[^a-z]', '', name.lower()))[:12] or 'id'}-"
    return f'{{ fresh = "template", value = "{before}{{{{n}}}}" }}'
