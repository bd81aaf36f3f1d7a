"""Values of the guard's own statements, in the two forms in which a server takes them. PURE.

Rule: nothing that a stranger chose stands in a statement as it came. A value is sent beside the statement, in binary;
or it becomes hexadecimal digits or a decimal number in it. So no setting, encoding or quote can make anything else of
it, and every statement is ASCII.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of values.

    Args:
        oid: what the server calls it, in pg_type.
        placeholder: where a value goes that is sent beside the statement; {} is its number.
        binary: a value, but for None, as it is sent beside the statement.
        literal: likewise, as it is written in the statement.
        argument: likewise, as it is written after the name of a statement that the server knows.
    """

    oid: int
    placeholder: str
    binary: Callable[[Any], bytes]
    literal: Callable[[Any], str]
    argument: Callable[[Any], str]


def _octets(value: bytes) -> str:
    # The E makes the backslash mean the same whatever standard_conforming_strings is.
    return f"E'\\\\x{value.hex()}'"


# An operation's claims have one tenant and one name.
@lru_cache(maxsize=256)
def _octets_of(value: str) -> str:
    return _octets(value.encode())


def _utf8(value: str) -> str:
    return f"convert_from({_octets_of(value)}::bytea, 'UTF8')"


# Methods of a text: no frame of Python's for every number of every request.
_decimal = "{:d}".format
_digits = "'{:d}'".format
OCTETS = Kind(17, "${}", bytes, _octets, _octets)
INTEGER = Kind(23, "${}", struct.Struct("!i").pack, _decimal, _decimal)
BIGINT = Kind(20, "${}", struct.Struct("!q").pack, _decimal, _decimal)
# In binary too, a text is read in the client's encoding, which is the application's to set.
TEXT = Kind(17, "convert_from(${}, 'UTF8')", str.encode, _utf8, _octets_of)
# pg_current_xact_id() gives one.
TRANSACTION = Kind(5069, "${}", struct.Struct("!Q").pack, _digits, _digits)
# A number that the server takes as text.
DIGITS = Kind(25, "${}", b"%d".__mod__, _digits, _digits)


def literal(kind: Kind, value: object) -> str:
    """A value as it is written in a statement."""
    return "NULL" if value is None else kind.literal(value)
