"""SIGTERM, as a CI's time-out or `docker stop` sends it: what a command has to tell at its end is told."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Never

# 128 + SIGTERM, as shells report a command that it ended.
TERMINATED: Final = 143


@contextmanager
def raising(error: type[BaseException]) -> Iterator[None]:
    """Let SIGTERM raise an error while the block runs; only once, for who sends it twice does not want to wait."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's, and not asked of any other
        return

    def end(number: int, _frame: FrameType | None) -> Never:
        signal.signal(number, former)
        raise error

    former = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
