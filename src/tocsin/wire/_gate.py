"""The gate. Edge: this is the one place where the order and the distance of sends is decided.

Rule: whatever can be done before the gate opens has been done. One thread, one loop, unless the style is threads.
"""

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

# A sleep on Linux ends up to a few hundred microseconds late; the rest of a wait is spun through.
_SPIN_NS: Final = 2_000_000

Release: TypeAlias = tuple[Callable[[bytes], int], bytes]
"""A bound send and the octets it is to be given."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What happened at the gate, in the order of the releases.

    Args:
        sent_ns: when each send was begun, `time.monotonic_ns()`. Begun, not done: an effect cannot precede its call.
        whole: whether the kernel took all that was withheld.
    """

    sent_ns: tuple[int, ...]
    whole: tuple[bool, ...]


class Gate:
    """Holds what is withheld until it is opened.

    Args:
        releases: in the order in which they are to leave.
        after_us: when each is to leave, ascending, the first of them at once; by default all are.
        threads: let each go by a fresh thread of its own. Five times wider on the wire, and on some servers it overlaps
            far more (bench/overlap.py).
    """

    def __init__(self, releases: Sequence[Release], after_us: Sequence[int] = (), *, threads: bool = False) -> None:
        after_ns = [1000 * (after - after_us[0]) for after in after_us] or [0] * len(releases)
        self._releases = tuple(
            (place, send, withheld, after)
            for place, ((send, withheld), after) in enumerate(zip(releases, after_ns, strict=True))
        )
        self._threads = threads
        self._is_staggered = any(after_ns)

    def open(self) -> Opening:
        """Let everything go, as closely together as one thread can, or a thread each."""
        collected = gc.isenabled()
        gc.disable()  # a collection inside the loop takes longer than the loop
        try:
            if self._threads:
                sent_ns, taken = self._start_threads()
            else:
                # Between members that leave apart the server is to act, perhaps on the only processor that there is.
                with contextlib.nullcontext() if self._is_staggered else _ahead_of_others():
                    sent_ns, taken = self._loop()
        finally:
            if collected:
                gc.enable()
        whole = (count == len(withheld) for count, (_, _, withheld, _) in zip(taken, self._releases, strict=True))
        return Opening(tuple(sent_ns), tuple(whole))

    def _loop(self) -> tuple[list[int], list[int]]:
        clock = time.monotonic_ns
        sent_ns, taken = self._blank()
        for place, send, withheld, after_ns in self._releases:
            while (now_ns := clock()) < sent_ns[0] + after_ns:
                _doze(sent_ns[0] + after_ns - now_ns)
            sent_ns[place] = now_ns
            try:
                taken[place] = send(withheld)
            except OSError:
                continue  # `taken` says so; the others must still leave
        return sent_ns, taken

    def _start_threads(self) -> tuple[list[int], list[int]]:
        clock = time.monotonic_ns
        sent_ns, taken = self._blank()

        def let_go(place: int, send: Callable[[bytes], int], withheld: bytes) -> None:
            sent_ns[place] = clock()
            with contextlib.suppress(OSError):
                taken[place] = send(withheld)

        started = []
        opened_ns = clock()
        for place, send, withheld, after_ns in self._releases:
            while (now_ns := clock()) < opened_ns + after_ns:
                _doze(opened_ns + after_ns - now_ns)
            thread = threading.Thread(target=let_go, args=(place, send, withheld))
            thread.start()
            started.append(thread)
        for thread in started:
            thread.join()
        return sent_ns, taken

    def _blank(self) -> tuple[list[int], list[int]]:
        return [0] * len(self._releases), [-1] * len(self._releases)


def _doze(nanoseconds: int) -> None:
    """Sleep through most of a long wait, and none of a short one: a sleeper wakes late."""
    if nanoseconds > _SPIN_NS:
        time.sleep((nanoseconds - _SPIN_NS) / 1e9)


@contextlib.contextmanager
def _ahead_of_others() -> Iterator[None]:
    """Run this thread before every ordinary one, where the system lets us (Linux, CAP_SYS_NICE).

    On few processors the first request otherwise wakes a server that takes our place until it has run it, half a
    millisecond ahead of the second (sched(7); uvicorn beside the scanner on 2 processors: 440 us between the sends of
    two requests, 90 us so, 10 us with `waking`; 49, 78 and 88 of 100 bursts overlapped).
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)
