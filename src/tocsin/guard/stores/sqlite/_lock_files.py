"""Empty files beside the database, for locks between processes.

Rule: never removed, because whoever has one open would lock a file that nobody else can see; and open to whoever may
open the database, also where the superuser was here first.
"""

import os
from pathlib import Path


def open_lock_file(database: Path, name: str) -> int:
    """A descriptor of the file, which is made if it is missing.

    Args:
        database: the database file, which is there.
        name: what the lock is for.

    Raises:
        OSError: it cannot be opened.
    """
    owner = database.stat()
    flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(f"{database}-tocsin-{name}", flags, owner.st_mode & 0o777)
    if os.geteuid() == 0:
        # As SQLite does with its log.
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor
