"""A service whose probability of a hit per burst is known, and a session with it that sends nothing: all by chance."""

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from tocsin.history import History, Operation
from tocsin.scan._compose import Shot
from tocsin.scan._errors import BudgetEnded
from tocsin.scan._oracle import Reading
from tocsin.scan._styles import Rotation
from tocsin.wire import Delivery, Response, Style

STYLES: tuple[Style, ...] = ("last-byte", "threads", "whole")
NEVER = math.inf
NOTHING = Reading((), ())
OK = Response(200, (), b"")


# The probability of a hit, by style, size and how many bursts there were before.
Chance = Callable[[Style, int, int], float]


@dataclass(frozen=True, slots=True)
class World:
    """A service, and what the scan meets on its way.

    Args:
        chance: of a hit in a burst.
        void: the probability that a burst is void; nothing of it runs.
        voids_hits: the probability that a burst that would hit is void in place of that, as an overloaded service may
            have it.
        ends_after: between how many bursts the budget ends, or None.
    """

    name: str
    chance: Chance
    void: float = 0.0
    voids_hits: float = 0.0
    ends_after: tuple[int, int] | None = None


@dataclass
class Dice:
    """A session that sends nothing: everything that a race asks of one, by chance."""

    world: World
    rng: random.Random
    rotation: Rotation = field(default_factory=lambda: Rotation.of(STYLES))
    plan: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(limits=None, settle_s=0.01, is_success=lambda status: status == 200)
    )
    usual_style: Style = "last-byte"
    has_hit: bool = False
    ended: KeyboardInterrupt | None = None
    counted: list[float] = field(default_factory=list)
    _bursts: int = 0
    _pending: deque[int] = field(default_factory=deque)
    _ends_at: float = NEVER

    def __post_init__(self) -> None:
        if self.world.ends_after is not None:
            self._ends_at = self.rng.randint(*self.world.ends_after)

    def throw(self, style: Style, size: int) -> tuple[bool, bool]:
        """Whether a burst is void, and whether it hits. What is not void counts for the truth."""
        if self._bursts >= self._ends_at:
            raise BudgetEnded("the budget is used up")
        p = self.world.chance(style, size, self._bursts)
        self._bursts += 1
        if self.rng.random() < self.world.void:
            return True, False
        hits = self.rng.random() < p
        if hits and self.rng.random() < self.world.voids_hits:
            return True, False
        seen = p * (1 - self.world.voids_hits)
        self.counted.append(seen / (1 - p + seen))
        return False, hits

    def read(self, *_: object) -> Reading:
        return NOTHING

    idle = read

    def read_each(self, drafts: Sequence[object]) -> list[Reading]:
        return [NOTHING] * len(drafts)

    def send(self, _shot: Shot) -> Response:
        return OK

    def deliver(
        self, shots: Sequence[Shot], *, hold_s: float, style: Style | None, offsets_us: Sequence[int] = ()
    ) -> Delivery:
        assert hold_s > 0
        assert not offsets_us or len(offsets_us) == len(shots)
        style = style or self.usual_style
        is_void, hits = self.throw(style, len(shots))
        self._pending.append(0 if is_void else 1 + hits)
        answered_us = [self.rng.randrange(1000) for _ in shots]
        return Delivery(
            History(tuple(Operation("a", 0, at_us, 200) for at_us in answered_us)),
            (OK,) * len(shots),
            "by chance" if is_void else "",
            "tcp_info",
            0,
            gate_opened_ns=0,
            style=style,
        )

    def effects(self, *_: object) -> tuple[int, Reading]:
        return 1, NOTHING

    def effects_each(self, drafts: Sequence[object], _before: object) -> list[tuple[int, Reading]]:
        return [(self._pending.popleft(), NOTHING) for _ in drafts]

    def wait(self, _seconds: float) -> None: ...

    def progressed(self, *_: object) -> None: ...

    def collected(self, *_: object) -> None: ...
