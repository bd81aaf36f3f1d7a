"""The gate. Edge: this is the one place where the order and the distance of sends is decided.

Rule: whatever can be done before the gate opens has been done. One thread, one loop: on the wire a barrier of threads
is 5 times wider.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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

    @property
    def skew_us(self) -> int:
        """From the first send to the last."""
        return (self.sent_ns[-1] - self.sent_ns[0]) // 1000


class Gate:
    """Holds what is withheld until it is opened.

    Args:
        releases: in the order in which they are to leave.
    """

    def __init__(self, releases: Sequence[Release]) -> None:
        self._releases = tuple((place, send, withheld) for place, (send, withheld) in enumerate(releases))

    def open(self) -> Opening:
        """Let everything go, as closely together as one thread can."""
        clock = time.monotonic_ns
        sent_ns = [0] * len(self._releases)
        taken = [-1] * len(self._releases)
        collected = gc.isenabled()
        gc.disable()  # a collection inside the loop takes longer than the loop
        try:
            for place, send, withheld in self._releases:
                sent_ns[place] = clock()
                try:
                    taken[place] = send(withheld)
                except OSError:
                    continue  # `taken` says so; the others must still leave
        finally:
            if collected:
                gc.enable()
        whole = (count == len(withheld) for count, (_, _, withheld) in zip(taken, self._releases, strict=True))
        return Opening(tuple(sent_ns), tuple(whole))
