"""Which release style the next burst takes, learned from what bursts showed. PURE.

Rule: never more than half of the bursts go into learning, and no style is ever trusted alone: the one that overlapped
most so far has the others beside it to the end.

What is learned is how much members overlapped in the service, as far as a caller can see it: how close together their
answers are. Handlers that ran one after the other answer one after the other; handlers that ran through each other are
done together. Measured on servers with natural windows, a style whose answers lay closer had more effects too many
(bench/overlap.py). An answer that no lone request gets (409, "try again") says it outright. Better than any answer is
what the state has shown: once an experiment has hit, how often each style hits again decides before how close its
answers are.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from tocsin.findings import Json
from tocsin.history import History
from tocsin.wire import Style

# Small bursts fit every worker and large ones do not: a style can be best for one kind and worst for the other.
SMALL: Final = 6
# Of a burst without two answers: worse than any that has them.
_UNKNOWN: Final = 2**63
# How often each style is looked at before one is preferred to the end, and how often another has its turn then: where
# one style hits in half of the bursts and the others in none, the others' turns then cost a fortieth of the hits.
_LOOKS: Final = 4
_OTHERS_EVERY: Final = 20
# Half of what is usual: bursts are few, and the other styles have their turns anyway.
_OPTIMISM: Final = 0.3
# Some servers act on Content-Length and do not wait for the end of the stream: they would run before the gate opens.
_NEED_A_CANARY: Final[frozenset[Style]] = frozenset({"empty-end"})
# A style that the service does not bear (it answers early, or closes) is set aside after so many void bursts.
_VOIDS: Final = 2


def answer_gap_us(history: History, lone_statuses: Collection[str]) -> int | None:
    """How far the answers of a burst lie apart on average: the less, the more overlap. None: too few answers.

    Args:
        history: of a burst that was delivered.
        lone_statuses: what the same requests are answered one after the other.
    """
    returned = [operation.returned_at_us for operation in history if operation.returned_at_us is not None]
    if len(returned) < 2:  # noqa: PLR2004  it takes two to overlap
        return None
    if set(history.statuses()) - set(lone_statuses):
        return 0
    return (max(returned) - min(returned)) // (len(returned) - 1)


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
    _gaps: dict[tuple[Style, bool], list[int]] = field(default_factory=dict, init=False)
    _hits: dict[tuple[Style, bool], list[bool]] = field(default_factory=dict, init=False)
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
        least = min(self.styles, key=lambda style: len(self._of(style, small)))
        every = 2 if len(self._of(least, small)) < _LOOKS else _OTHERS_EVERY
        return least if turn % every == 1 else self.best(small=small)

    @property
    def alone(self) -> str:
        """Why there is only one style left, where there were more; "" while there are others."""
        if len(self.styles) > 1 or not self.set_aside:
            return ""
        reasons = "; ".join(f"{style}: {reason}" for style, reason in self.set_aside.items())
        return f"only the style {self.styles[0]} can be delivered, and none is trusted alone ({reasons})"

    def best(self, *, small: bool) -> Style:
        """The style that may hit most often, else the one whose answers were closest so far, else the usual one."""

        def rank(style: Style) -> tuple[float, float]:
            return -self._may_hit(style, small=small), median(self._of(style, small) or [_UNKNOWN])

        return min(self.styles, key=rank)

    def delivered(self, style: Style, size: int, gap_us: int | None, *, hit: bool | None = None) -> None:
        """Learn from a burst that was delivered.

        Args:
            style: how.
            size: of how many members.
            gap_us: see `answer_gap_us`.
            hit: whether the state showed what must not be, of an experiment that is known to hit; None of others: a
                service that holds says nothing of styles.
        """
        small = size <= SMALL
        self._of(style, small).append(_UNKNOWN if gap_us is None else gap_us)
        if hit is not None:
            self._hits.setdefault((style, small), []).append(hit)

    def undelivered(self, style: Style, reason: str) -> None:
        """Learn from a burst that was not: a style that never is one, while others are left, is set aside."""
        self._voids[style] = self._voids.get(style, 0) + 1
        never = not any(self._of(style, small) for small in (True, False))
        # Bursts that settle together have chosen their styles together: it may have been set aside a moment ago.
        if never and self._voids[style] >= _VOIDS and style in self.styles and len(self.styles) > 1:
            self.styles.remove(style)
            self.set_aside[style] = reason

    def facts(self) -> dict[str, Json]:
        """As a report shows it."""
        facts: dict[str, Json] = {
            "preferred": {kind: self.best(small=small) for kind, small in _KINDS},
            "answers_apart_us": {f"{style}, {kind}": told for style, kind, told in self._seen()},
        }
        if self.set_aside:
            facts["set_aside"] = dict(self.set_aside)
        return facts

    def _seen(self) -> Iterator[tuple[Style, str, Json]]:
        for style in self.styles:
            for kind, small in _KINDS:
                gaps = [gap for gap in self._of(style, small) if gap != _UNKNOWN]
                if gaps:
                    yield style, kind, {"median": int(median(gaps)), "bursts": len(gaps)}

    def _may_hit(self, style: Style, *, small: bool) -> float:
        """How often it hits, at best (UCB: Auer et al. 2002); 0 for all while none of them has.

        What is nearly as good as the best is looked at until it is known not to be better; what is far from it, not.
        """
        every = [hit for other in self.styles for hit in self._hits.get((other, small), ())]
        if not any(every):
            return 0
        hits = self._hits.get((style, small), [])
        return (sum(hits) + 1) / (len(hits) + 2) + _OPTIMISM * math.sqrt(math.log(len(every)) / (len(hits) + 1))

    def _of(self, style: Style, small: bool) -> list[int]:  # noqa: FBT001  a key, as it stands in the table
        return self._gaps.setdefault((style, small), [])


_KINDS: Final[Sequence[tuple[str, bool]]] = ((f"up to {SMALL} members", True), ("more", False))
