"""Facts about this machine, without which no number means anything."""

import os
import platform
import sqlite3
import sys
import time


def facts() -> dict[str, str | int]:
    """What a reader needs to compare: never a host name, a user or a path."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpus": os.cpu_count() or 0,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
    }
