"""_leash.py DIRECTORY COMMAND...: run a command that cannot outlive whoever started it.

When standard input ends, so does the whole process group, and DIRECTORY is removed, unless it is "". Started as leader
of its own session. A launcher that is killed -9 cannot clean up, but its end of our standard input closes all the same.
Nothing of ours is imported, and the interpreter starts with -I -S, to be there in milliseconds.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from types import FrameType

# Longer than the graceful time-outs in service.toml, so that a service that ends properly is never cut short.
GRACE_S = 5.0


def survive(_signal: int, _frame: FrameType | None) -> None:
    """Stay to report how the service ended. A handler, not SIG_IGN: that the service would inherit."""


def end_with_launcher(directory: str, told_to_end: threading.Event, ended: threading.Event) -> None:
    """Wait for the end of standard input, which is the launcher's; then end the process group, ourselves with it."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    told_to_end.set()
    os.killpg(0, signal.SIGTERM)
    ended.wait(GRACE_S)
    if directory:
        shutil.rmtree(directory, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    signal.signal(signal.SIGTERM, survive)
    signal.signal(signal.SIGINT, survive)
    ended, told_to_end = threading.Event(), threading.Event()
    directory, *command = sys.argv[1:]
    service = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    watcher = threading.Thread(target=end_with_launcher, args=(directory, told_to_end, ended), daemon=True)
    watcher.start()
    status = service.wait()
    ended.set()
    if told_to_end.is_set():
        # The service has ended because the launcher has; the watcher ends us when it has cleaned up.
        watcher.join()
    # Not sys.exit: the other thread is inside a read that an orderly shutdown would wait for.
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
