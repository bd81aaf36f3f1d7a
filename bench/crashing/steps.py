"""The steps of a guarded request at which its process dies, and the fuse that makes it die there.

Rule: a process that dies has done nothing of what comes after the step, in any thread. Where a step takes time, COMMIT
above all, the kernel kills it at a moment in between, whatever it is doing then.
"""

import mmap
import os
import random
import signal
import struct
from enum import Enum

# Longer than a COMMIT, so that some processes die before it is done and some after.
LONGEST_COMMIT_S = 0.001
LONGEST_MOMENT_S = 0.02
_STATE = struct.Struct("=ii")
_OTHERS = struct.Struct("=i")
_NO_STEP = -1


class Step(Enum):
    """Where a process dies. What stands between two of them is not written anywhere but in its memory."""

    VERIFICATION = "before verification"
    CLAIM = "after the claim"
    BEFORE_WRITE = "in the handler, before its write"
    AFTER_WRITE = "in the handler, after its write"
    BEFORE_COMMIT = "before COMMIT"
    COMMIT = "during COMMIT"
    AFTER_COMMIT = "after COMMIT, before the answer"
    ANSWER = "during the answer"
    MOMENT = "at a random moment"


STEPS = tuple(Step)


class Fuse:
    """Kills every process of the service when a step has been reached so many times.

    Its state is shared with the processes that are forked later: whoever forks them arms it.

    Attributes:
        members: how many claims this process has been granted since the last COMMIT that it began.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _STATE.size + _OTHERS.size)
        self._set(_NO_STEP, 0)
        self.members = 0

    @property
    def others(self) -> int:
        """How many requests shared the last COMMIT with another one."""
        number: int = _OTHERS.unpack(self._shared[_STATE.size :])[0]
        return number

    def count_group(self) -> None:
        """What was granted since the last COMMIT is committed now."""
        self._shared[_STATE.size :] = _OTHERS.pack(max(0, self.members - 1))
        self.members = 0

    def arm(self, step: Step, count: int) -> None:
        """Die when the step is reached for the `count`-th time from now on, 1 or more."""
        self._set(STEPS.index(step), count)

    def disarm(self) -> None:
        """Never mind."""
        self._set(_NO_STEP, 0)
        self.members = 0
        self.count_group()

    def reached(self, step: Step) -> None:
        """A request is there."""
        if step is Step.VERIFICATION:
            self.reached(Step.MOMENT)
        place, count = _STATE.unpack(self._shared[: _STATE.size])
        if place != STEPS.index(step):
            return
        self._set(place if count > 1 else _NO_STEP, count - 1)
        if count > 1:
            return
        longest_s = {Step.COMMIT: LONGEST_COMMIT_S, Step.MOMENT: LONGEST_MOMENT_S}.get(step)
        if longest_s is None:
            os.killpg(0, signal.SIGKILL)
        else:
            # Nothing handles SIGALRM, so it ends the process as SIGKILL does: in the kernel, at once.
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.000001, longest_s))

    def _set(self, place: int, count: int) -> None:
        self._shared[: _STATE.size] = _STATE.pack(place, count)
