"""Files that were open when this process was forked, and that it therefore must not open with SQLite.

Rule: better no database than one that loses what it has acknowledged. SQLite notes of each file which locks its
process has. A fork copies the notes and not the locks, so a child that opens the file again takes it for locked; and
whoever closes it last elsewhere removes the log that the child commits to (sqlite.org/howtocorrupt.html, section 2.6).
"""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from tocsin.guard._errors import StoreUnavailable

_DESCRIPTORS = Path("/dev/fd")

_inherited: set[tuple[int, int]] = set()


def refuse_if_inherited(path: Path) -> None:
    """Nothing, for a file that this process may open.

    Raises:
        StoreUnavailable: it was open in the parent, and still is here.
    """
    if not _inherited:
        return
    with suppress(FileNotFoundError):
        identity = _identity(path.stat())
        if identity in _inherited & _open_files():
            raise StoreUnavailable(
                f"{path} was open when this process was forked, by a handler or a connection of the application's own; "
                "wanted a fork before it is used, or a process that is started anew"
            )
        _inherited.discard(identity)


def _note_inherited() -> None:
    _inherited.update(_open_files())


def _open_files() -> set[tuple[int, int]]:
    """Every regular file that this process has open, also those that have no name any more."""
    found = set()
    for descriptor in _DESCRIPTORS.iterdir():
        # The one through which they are listed is closed by now.
        with suppress(OSError):
            status = os.fstat(int(descriptor.name))
            if S_ISREG(status.st_mode):
                found.add(_identity(status))
    return found


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


os.register_at_fork(after_in_child=_note_inherited)
