"""Reads TOML that somebody else wrote. PURE.

Rule: whatever a file holds, it is a table or one error.
"""

import tomllib
from typing import Any

# TOML 1.0.0 asks for these. A larger one is more than can be counted, timed, stored, or even printed.
_LEAST, _MOST = -(2**63), 2**63 - 1
# No file of ours has ten. Whoever walks through one does it by recursion.
_DEEPEST = 100
_TOO_DEEP = "it is nested too deeply"
_TOO_LARGE = "an integer has more than 64 bits"


class TomlError(Exception):
    """It is no TOML; the message says why, with the line where that is known."""


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a text is. Raises TomlError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlError(str(error)) from None
    except RecursionError:
        raise TomlError(_TOO_DEEP) from None
    except ValueError:
        # Python refuses to read an integer of thousands of digits, and does not say where it stands.
        raise TomlError(_TOO_LARGE) from None
    _check(table, 0)
    return table


def _check(value: object, depth: int) -> None:
    if depth > _DEEPEST:
        raise TomlError(_TOO_DEEP)
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, depth + 1)
    elif isinstance(value, int) and not _LEAST <= value <= _MOST:
        raise TomlError(_TOO_LARGE)
