"""Reads secrets from the environment and from files. The one module of signing that is not PURE.

Rule: an error names the variable or the file, never what is in it.
"""

import os
from pathlib import Path

from tocsin.signing._errors import SchemeError


def read_env(name: str) -> bytes:
    """The octets of an environment variable.

    Raises:
        SchemeError: it is not set.
    """
    text = os.environ.get(name)
    if text is None:
        raise SchemeError(f"environment variable {name} is not set; wanted a secret in it")
    return os.fsencode(text)


def read_file(path: str | Path) -> bytes:
    """The octets of a file, without the line break that editors put at the end of the last line.

    Raises:
        SchemeError: it cannot be read.
    """
    try:
        octets = Path(path).read_bytes()
    except OSError as error:
        raise SchemeError(f"secret file {os.fspath(path)}: {error.strerror}") from None
    return octets.removesuffix(b"\n").removesuffix(b"\r")
