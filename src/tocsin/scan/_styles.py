"""Which release style the next burst takes, learned from what bursts showed. PURE.

Rule: never more than half of the bursts go into learning, and no style is ever trusted alone: the one that overlapped
most so far has the others beside it to the end.

What is learned is how much members overlapped in the service, as far as a caller can see it. Handlers that ran one
after the other answer one after the other: the first answer comes after one handler's time, the last after all of them.
Handlers that ran through each other all answer late, and close together. An answer that no lone request gets (409, "try
again") says it outright.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tocsin.findings import Json
from tocsin.history import History
from tocsin.wire import Style

# Small bursts fit every worker and large ones do not: a style can be best for one kind and worst for the other.
SMALL: Final = 6
# How often each style is looked at before one is preferred to the end, and how often another has its turn then.
_LOOKS: Final = 4
_OTHERS_EVERY: Final = 10
# Some servers act on Content-Length and do not wait for the end of the stream: they would run before the gate opens.
_NEED_A_CANARY: Final[frozenset[Style]] = frozenset({"empty-end"})
# A style that the service does not bear (it answers early, or closes) is set aside after so many void bursts.
_VOIDS: Final = 2


def overlap(history: History, lone_statuses: Collection[str]) -> float:
    """How much of a burst was in the service at once, from 0 (one after the other) to 1. An estimate, and no verdict.

    Args:
        history: of a burst that was delivered.
        lone_statuses: what the same requests are answered one after the other.
    """
    returned = [operation.returned_at_us for operation in history if operation.returned_at_us is not None]
    if len(returned) < 2:  # noqa: PLR2004  it takes two to overlap
        return 0.0
    if set(history.statuses()) - set(lone_statuses):
        return 1.0
    last_called = max(operation.called_at_us for operation in history)
    first, last = min(returned) - last_called, max(returned) - last_called
    if first <= 0 or last <= 0:
        return 0.0
    # One after the other, the first is back after 1/n of the time.
    in_turn = 1 / len(returned)
    return max(0.0, (first / last - in_turn) / (1 - in_turn))


@dataclass(slots=True)
class _Learned:
    """What one style showed with bursts of one kind of size."""

    bursts: int = 0
    overlap: float = 0.0

    @property
    def mean(self) -> float:
        return self.overlap / self.bursts if self.bursts else 0.0


@dataclass(slots=True)
class Rotation:
    """The styles that a service bears, and what they showed so far.

    Args:
        styles: those in use, the usual one first.
        unasked: those that nobody knows yet whether the service bears: a canary has to tell.
        set_aside: those that it does not bear, and why.
    """

    styles: list[Style]
    unasked: list[Style] = field(default_factory=list)
    set_aside: dict[str, str] = field(default_factory=dict)
    _learned: dict[tuple[Style, bool], _Learned] = field(default_factory=dict, init=False)
    _voids: dict[Style, int] = field(default_factory=dict, init=False)
    _turns: dict[bool, int] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, available: Sequence[Style]) -> "Rotation":
        """All that are available; those in which a service may act before the gate opens have to be asked about."""
        return cls(
            [style for style in available if style not in _NEED_A_CANARY],
            [style for style in available if style in _NEED_A_CANARY],
        )

    def asked(self, style: Style, fault: str) -> None:
        """A canary has told: "" if the service waits for the gate, else what it did."""
        self.unasked.remove(style)
        if fault:
            self.set_aside[style] = fault
        else:
            self.styles.append(style)

    def next(self, size: int) -> Style:
        """The style of the next burst: in turn the best so far, and the one that has been seen least."""
        small = size <= SMALL
        turn = self._turns.get(small, 0)
        self._turns[small] = turn + 1
        least = min(self.styles, key=lambda style: self._of(style, small).bursts)
        every = 2 if self._of(least, small).bursts < _LOOKS else _OTHERS_EVERY
        return least if turn % every == 1 else self.best(small=small)

    @property
    def alone(self) -> str:
        """Why there is only one style left, where there were more; "" while there are others."""
        if len(self.styles) > 1 or not self.set_aside:
            return ""
        reasons = "; ".join(f"{style}: {reason}" for style, reason in self.set_aside.items())
        return f"only the style {self.styles[0]} can be delivered, and none is trusted alone ({reasons})"

    def best(self, *, small: bool) -> Style:
        """The style that overlapped most so far; the usual one, as long as nothing is known."""
        return max(self.styles, key=lambda style: self._of(style, small).mean)

    def delivered(self, style: Style, size: int, overlapped: float) -> None:
        """Learn from a burst that was delivered."""
        learned = self._learned.setdefault((style, size <= SMALL), _Learned())
        learned.bursts += 1
        learned.overlap += overlapped

    def undelivered(self, style: Style, reason: str) -> None:
        """Learn from a burst that was not: a style that never is one, while others are left, is set aside."""
        self._voids[style] = self._voids.get(style, 0) + 1
        never = not any(self._of(style, small).bursts for small in (True, False))
        if never and self._voids[style] >= _VOIDS and len(self.styles) > 1:
            self.styles.remove(style)
            self.set_aside[style] = reason

    def facts(self) -> dict[str, Json]:
        """As a report shows it."""
        facts: dict[str, Json] = {
            "preferred": {kind: self.best(small=small) for kind, small in _KINDS},
            "estimated_overlap": {f"{style}, {kind}": told for style, kind, told in self._seen()},
        }
        if self.set_aside:
            facts["set_aside"] = dict(self.set_aside)
        return facts

    def _seen(self) -> Iterator[tuple[Style, str, Json]]:
        for style in self.styles:
            for kind, small in _KINDS:
                learned = self._of(style, small)
                if learned.bursts:
                    yield style, kind, {"mean": round(learned.mean, 2), "bursts": learned.bursts}

    def _of(self, style: Style, small: bool) -> _Learned:  # noqa: FBT001  a key, as it stands in the table
        return self._learned.get((style, small), _Learned())


_KINDS: Final[Sequence[tuple[str, bool]]] = ((f"up to {SMALL} members", True), ("more", False))
