"""Where the machine's processor time goes, from /proc: to a process with all below it, and to everybody."""

import os
import resource
from collections.abc import Set as AbstractSet
from pathlib import Path

COUNT = os.cpu_count() or 1
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# Of /proc/stat's first line: user, nice, system, irq, softirq, steal; not idle, nor waiting for the disk.
_BUSY = (1, 2, 3, 6, 7, 8)


def children() -> set[int]:
    """The processes that this one has started itself."""
    return {pid for pid, (parent, _) in _processes().items() if parent == os.getpid()}


def spent_s(pids: AbstractSet[int]) -> float:
    """What these processes have spent, and whatever they have started and is still alive."""
    found = _processes()
    tree = set(pids)
    while more := {pid for pid, (parent, _) in found.items() if parent in tree} - tree:
        tree |= more
    return sum(found[pid][1] for pid in tree if pid in found)


def ours_s() -> float:
    """What this process and everything that it has started has spent, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent_s({os.getpid()}) + ended.ru_utime + ended.ru_stime


def busy_s() -> float:
    """What the processors have spent on anything since the machine started."""
    words = Path("/proc/stat").read_text().partition("\n")[0].split()
    return sum(int(words[column]) for column in _BUSY) * _TICK_S


def _processes() -> dict[int, tuple[int, float]]:
    """The parent and the seconds of each process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(folder.name)] = (int(words[1]), (int(words[11]) + int(words[12])) * _TICK_S)
    return found
