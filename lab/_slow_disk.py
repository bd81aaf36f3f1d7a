"""A disk that takes longer than this machine's for every fsync, as network storage does. Linux, and a C compiler.

What a service does under a slow commit cannot be seen on a fast disk: a busy time-out that is shorter than a queue of
commits, for one. The delay is in the process that is started, by LD_PRELOAD; the disk itself stays what it is.
"""

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab._services import LabError

_SOURCE = Path(__file__).with_suffix(".c")


def environment(fsync_ms: float) -> dict[str, str]:
    """What to add to the environment of a process whose every fsync is to take so many milliseconds more.

    Raises:
        LabError: this system has no LD_PRELOAD, or no C compiler.
    """
    return {"LD_PRELOAD": str(_library()), "FSYNC_DELAY_US": str(round(fsync_ms * 1000))}


@functools.cache
def _library() -> Path:
    if sys.platform != "linux":
        raise LabError("a slow disk needs LD_PRELOAD, which is Linux's")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise LabError("a slow disk needs a C compiler; install it with: apt-get install gcc libc6-dev")
    library = Path(_folder().name, "slow_disk.so")
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise LabError(f"a slow disk cannot be built: {built.stderr.strip()}")
    return library


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Kept until this process ends: what it starts loads the library from there."""
    return tempfile.TemporaryDirectory(prefix="tocsin-slow-disk-")
