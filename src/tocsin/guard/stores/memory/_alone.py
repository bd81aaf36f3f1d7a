"""Whether this process is the only one that serves: a lock on a file, which ends with whoever holds it."""

import fcntl
import os
from pathlib import Path

from tocsin.guard._errors import StoreUnavailable


class Alone:
    """The lock, taken when it is first asked for: by a worker, and not by whoever forks workers.

    Args:
        path: of the file; it is created, and stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def check(self) -> None:
        """Hold the lock.

        Raises:
            StoreUnavailable: another process does, or the file cannot be opened.
        """
        if self._file is not None:
            return
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            notice = f"{self._path} is held by another process, which has claims of its own; wanted one that serves"
            raise StoreUnavailable(notice) from error
        self._file = file

    def end(self) -> None:
        """Give it back; in a forked child, leave it to the parent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
