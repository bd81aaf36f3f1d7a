"""The standard streams where they fail: a reader who has gone, a full disk, a stream that was closed."""

import errno
import os
import sys
from typing import TextIO

from tocsin.report._plain_text import encodable, lines

# What writing to a file or a terminal can fail with; a reader who has gone is BrokenPipeError.
_OF_OUTPUT = {errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC}


def replace_closed() -> None:
    """Put something in the place of an output that is closed, which Python has as None.

    Else what is meant for standard error would be printed to standard output. Writing to a closed standard output
    goes on to fail, as it does where a disk is full.
    """
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def of_output(error: OSError) -> bool:
    """Whether an error is that of a standard stream, and no bug: nobody there to read, or no place for what is said."""
    return isinstance(error, BrokenPipeError) or (error.filename is None and error.errno in _OF_OUTPUT)


def silence(stream: TextIO) -> None:
    """Let it take everything from now on and keep nothing. At exit, Python would fail again at what is still in it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def show(text: str) -> None:
    """Print text of several lines that quotes a plan, with nothing in it that a terminal would act upon."""
    for one in lines(text):
        print(encodable(one, sys.stdout.encoding or "ascii"))


def say(text: object) -> None:
    """Say something on standard error that cannot move a cursor: plans and file names are others' words.

    A list of ours has lines of its own, which begin with blanks; so no line break in a plan can begin a message.
    """
    first, *rest = lines(str(text))
    told = [f"tocsin: {first}", *(one if one.startswith("  ") else f"  {one}" for one in rest)]
    try:
        print("\n".join(told), file=sys.stderr)
    except OSError:
        silence(sys.stderr)
