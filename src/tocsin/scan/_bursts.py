"""Bursts that a check judges itself, until one hits, enough were clean, or its share of the time is over.

Rule: as for every race. The first hit ends it and is repeated only for its rate; a void burst is sent again, smaller
and slower, and never counts as clean.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tocsin.findings import Bound, Json
from tocsin.history import History
from tocsin.scan._backoff import REPEATS_OF_A_HIT, VOIDS_IN_A_ROW, hold_s, pause_s
from tocsin.scan._check import Context
from tocsin.scan._compose import Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone, ended_by
from tocsin.scan._session import Session
from tocsin.scan._statistics import upper_limit
from tocsin.scan._statuses import LIMITED
from tocsin.scan._styles import answer_gap_us
from tocsin.scan._trials import unheard_fault
from tocsin.wire import Delivery, Response

Shown = TypeVar("Shown")

LEAST_MEMBERS = 2
# How long it takes at least until somebody else's write shows on a busy service.
_STANDS_S = 0.3
FIRST_SERVER_ERROR = 500  # RFC 9110 section 15.6


@dataclass(frozen=True, slots=True)
class Seen:
    """What one burst showed.

    Args:
        size: how many members it had.
        style: how they were delivered.
        history: who overlapped whom.
        hit: what is wrong, as a sentence, or "".
        void: why it shows nothing, or "".
        facts: for the report, if it decides.
    """

    size: int
    style: str
    history: History
    hit: str = ""
    void: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """All bursts so far."""

    mixture: Counter[str] = field(default_factory=Counter)
    voids: Counter[str] = field(default_factory=Counter)
    hit: Seen | None = None
    rate: tuple[int, int] = (0, 0)
    cut_short: str = ""

    @property
    def clean(self) -> int:
        """Valid bursts without a hit."""
        return self.mixture.total()

    @property
    def came_back(self) -> str:
        """How often a hit came back, as the end of a sentence."""
        hits, tries = self.rate
        return f"in {hits} of {tries} further bursts"

    def facts(self) -> dict[str, Json]:
        """As a report shows it."""
        facts: dict[str, Json] = {"valid_bursts": self.clean, "mixture": dict(self.mixture)}
        if self.voids:
            facts["void_bursts"] = dict(self.voids)
        if self.cut_short:
            facts["cut_short"] = self.cut_short
        if self.hit is not None:
            hits, tries = self.rate
            facts |= {
                **self.hit.facts,
                "statuses": self.hit.history.statuses(),
                "most_in_flight": self.hit.history.most_in_flight(),
                "came_back": f"{hits} of {tries}",
            }
        return facts

    def bound(self, detail: str = "") -> Bound:
        """What the clean bursts are worth. Raises CannotTell if there are none."""
        if not self.clean:
            raise CannotTell(self.cut_short or "no burst was valid")
        return Bound(
            trials=self.clean,
            unit="bursts",
            upper_limit=upper_limit(self.clean),
            detail="; ".join(filter(None, (detail, self.cut_short))),
            mixture=dict(self.mixture),
            void=self.voids.total(),
        )


def until_hit(context: Context, once: Callable[[int], Seen], *, wanted: int, enough: Callable[[], bool]) -> Tally:
    """Make bursts.

    Args:
        context: of the check.
        once: one burst; takes how gentle it has to be: 0, and one more after each void burst.
        wanted: how many clean ones are enough,
        enough: and what else has to be so.
    """
    tally = Tally()
    try:
        _bursts(context, once, tally, wanted, enough)
    except BudgetEnded as ended:
        tally.cut_short = str(ended)
    return tally


def _bursts(
    context: Context, once: Callable[[int], Seen], tally: Tally, wanted: int, enough: Callable[[], bool]
) -> None:
    gentle = 0
    while tally.clean < wanted or not enough():
        # One burst at least, where the scan has time: without any, all that came before it tells nothing.
        if time.monotonic() > context.until and (tally.clean or tally.voids):
            tally.cut_short = f"its share of the time ended after {tally.clean} of {wanted} bursts"
            return
        seen = once(gentle)
        if seen.hit:
            context.session.has_hit, tally.hit = True, seen
            _repeat(context, once, tally)
            return
        if seen.void:
            tally.voids[seen.void] += 1
            gentle += 1
            if gentle == VOIDS_IN_A_ROW:
                raise CannotTell(f"{gentle} bursts in a row were void: {seen.void}")
            context.session.wait(pause_s(gentle))
            continue
        gentle = 0
        tally.mixture[f"{context.session.usual_style} n={seen.size}"] += 1
        context.session.progressed("bursts", tally.clean, max(wanted, tally.clean))


def _repeat(context: Context, once: Callable[[int], Seen], tally: Tally) -> None:
    """How often a hit comes back, of how many tries. One that does not is still one: it was read."""
    hits = tries = 0
    try:
        while tries < REPEATS_OF_A_HIT and time.monotonic() < context.until:
            hits += bool(once(0).hit)
            tries += 1
            tally.rate = hits, tries
    except (BudgetEnded, CannotTell, ServiceGone) as ended:
        tally.cut_short = str(ended)
    except KeyboardInterrupt as interrupt:
        context.session.keep_hit(interrupt)
        tally.cut_short = ended_by(interrupt)


def delivered(
    context: Context,
    shots: tuple[Shot, ...],
    gentle: int,
    *,
    offsets_us: tuple[int, ...] = (),
    in_every_style: bool = False,
) -> Delivery:
    """A burst; every member that was not refused counts as an effect, for nothing is read here.

    Args:
        context: of the check.
        shots: the members.
        gentle: how many bursts in a row have been void.
        offsets_us: when each member leaves once the gate has opened; () for all at once.
        in_every_style: whether release styles take turns, as for every race; where answers are all that counts, the
            usual one will do.
    """
    session = context.session
    style = session.rotation.next(len(shots)) if in_every_style and not any(offsets_us) else None
    delivery = session.deliver(shots, hold_s=hold_s(gentle), style=style, offsets_us=offsets_us)
    is_sent = delivery.gate_opened_ns is not None
    session.assume(sum(is_sent and _may_have_effect(response) for response in delivery.responses))
    if style is not None and delivery.void:
        session.rotation.undelivered(style, delivery.void)
    elif style is not None:
        # Which answers lone requests get is not known here, so that none tells of overlap by itself.
        session.rotation.delivered(style, len(shots), answer_gap_us(delivery.history, delivery.history.statuses()))
    return delivery


def moved_later(session: Session, look: Callable[[], Shown], shown: Shown, *, members: int) -> Shown | None:
    """Whether what a hit rests on is where it stays: its members may be worked off one after the other still.

    Args:
        session: waits.
        look: reads it again.
        shown: what was read once effects should have arrived.
        members: how many requests may still have to take effect, each of them for `settle_ms`.

    Returns:
        What it has become, None if it has not moved.

    Raises:
        CannotTell: a budget ended before that was known.
    """
    settle_s = session.plan.settle_s
    step_s = max(_STANDS_S, settle_s)
    looks = max(1, math.ceil(members * settle_s / step_s))
    try:
        for _ in range(looks):
            session.wait(step_s)
            still = look()
            if still != shown:
                return still
    except BudgetEnded as ended:
        # Not clean, and not proof either.
        raise CannotTell(f"a burst hit, and before it was known whether later effects undo that: {ended}") from None
    return None


def size_of(size: int, gentle: int) -> int:
    """Smaller after each void burst."""
    return max(LEAST_MEMBERS, size >> gentle)


def distinct(context: Context, size: int) -> tuple[Shot, ...]:
    """Distinct honest requests, on as many resources as it takes for all of them to be possible."""
    shots: list[Shot] = []
    while len(shots) < size:
        scene = context.stage.scene()
        room = size if scene.capacity is None else scene.capacity
        drafts = context.stage.drafts(scene, min(room, size - len(shots)))
        shots += [context.session.shot(draft) for draft in drafts]
    return tuple(shots)


def too_few_answered(delivery: Delivery) -> str:
    """Why a burst that was delivered shows nothing, or ""."""
    silent = sum(failure is not None for failure in delivery.failures)
    if silent:
        return f"{silent} of {len(delivery.responses)} members had no complete answer in time"
    unheard = unheard_fault(delivery.responses)
    if unheard:
        return unheard
    through = sum(response is not None and response.status not in LIMITED for response in delivery.responses)
    if through < LEAST_MEMBERS:
        return f"a rate limiter let only {through} of {len(delivery.responses)} members through"
    return ""


def _may_have_effect(response: Response | None) -> bool:
    """Whatever is not a refusal may be one."""
    return response is None or not 400 <= response.status < FIRST_SERVER_ERROR  # noqa: PLR2004  RFC 9110 section 15.5
