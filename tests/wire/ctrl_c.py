"""Ctrl-C, as a terminal sends it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c(when: Callable[[], object]) -> Iterator[None]:
    """Interrupt the main thread once `when` has returned.

    Again after a while if nothing came of it: a tracer can swallow what a signal handler raises (tests/untraced.py).
    """
    ended = threading.Event()

    def interrupt() -> None:
        when()
        while not ended.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            ended.wait(10)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher = threading.Thread(target=interrupt)
    try:
        watcher.start()
        yield
    finally:
        ended.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)
