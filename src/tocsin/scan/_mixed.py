"""The operation against another request: redeem against cancel, this reservation against that one.

Rule: a burst may end as some order of its requests ends, or of those of them that were let through, and no other way.
The orders are played one after the other first; no number of effects has to be declared for it.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import TypeAlias

from tocsin.findings import Json
from tocsin.scan._bursts import Seen, Tally, delivered, moved_later, until_hit
from tocsin.scan._check import Context
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._number import difference
from tocsin.scan._oracle import Reading
from tocsin.scan._plan import DELIVERY_ID, Mix
from tocsin.scan._statuses import LIMITED
from tocsin.scan._trials import unheard_fault
from tocsin.wire import Delivery

Outcome: TypeAlias = tuple[Decimal, ...]

# 59 clean bursts bound the probability per burst at 5 %.
_WANTED_BURSTS = 59
# Each order is played twice: one that ends differently the second time is no measure of anything.
_ROUNDS = 2
_NAMES = ("operation", "mixed")


class MixedRace:
    """One [[mix]] against the operation."""

    def __init__(self, context: Context, mixed: Mix) -> None:
        self._context = context
        self._mixed = mixed
        self._orders: dict[str, Outcome] = {}

    def run(self) -> Tally:
        """Play the orders, then the bursts. Raises CannotTell, BudgetEnded."""
        for order in _orders():
            name = ", then ".join(_NAMES[place] for place in order) or "neither"
            outcomes = {self._one_after_the_other(order) for _ in range(_ROUNDS)}
            if len(outcomes) > 1:
                said = " or ".join(sorted(map(self._told, outcomes)))
                raise CannotTell(f"{name}: played twice, the same order ended differently ({said})")
            self._orders[name] = outcomes.pop()
        return until_hit(self._context, self._at_once, wanted=_WANTED_BURSTS, enough=lambda: True)

    def facts(self) -> dict[str, Json]:
        """How each order ended."""
        return {"orders": {name: self._told(outcome) for name, outcome in self._orders.items()}}

    def _one_after_the_other(self, order: Sequence[int]) -> Outcome:
        session = self._context.session
        draft, shots = self._shots()
        before = session.read([draft])
        responses = [session.send(shots[place]) for place in order]
        session.assume(len(responses))
        return self._outcome(draft, before)

    def _at_once(self, gentle: int) -> Seen:
        draft, shots = self._shots()
        before = self._context.session.read([draft])
        delivery = delivered(self._context, shots, gentle, offsets_us=(0, self._mixed.offset_us), in_every_style=True)
        outcome = self._outcome(draft, before)
        hit = ""
        if outcome not in self._orders.values():
            self._stands(draft, before, outcome)
            hit = f"{self._told(outcome)}, and no order of the two ends so"
        void = "" if hit else delivery.void or _void(delivery)
        self._context.session.collected(delivery, None, void)
        return Seen(len(shots), delivery.style, delivery.history, hit, void, {"outcome": self._told(outcome)})

    def _shots(self) -> tuple[Draft, tuple[Shot, Shot]]:
        """Both on one scene and about the same things; only a nonce and a delivery's id are each one's own."""
        stage, composer = self._context.stage, self._context.session.composer
        scene = stage.scene()
        draft = stage.draft(scene)
        spare = stage.draft(scene).values
        own = {name: spare[name] for name in ("nonce", DELIVERY_ID) if name in spare}
        other = draft.with_values(**own)
        return draft, (composer.shot(draft, at=time.time()), _shot(self._context, self._mixed, other))

    def _outcome(self, draft: Draft, before: Reading) -> Outcome:
        self._context.session.settle()
        return _moved(before, self._context.session.read([draft]))

    def _stands(self, draft: Draft, before: Reading, outcome: Outcome) -> None:
        session = self._context.session
        still = moved_later(session, lambda: _moved(before, session.read([draft])), outcome, members=len(_NAMES))
        if still is not None:
            raise CannotTell(
                f"the state moved after it had settled ({self._told(outcome)}; then {self._told(still)}): somebody "
                "else writes, or effects arrive later than settle_ms says"
            )

    def _told(self, outcome: Outcome) -> str:
        states = self._context.plan.state
        return ", ".join(f"{state.name} {moved:+f}" for state, moved in zip(states, outcome, strict=True))


def _orders() -> list[tuple[int, ...]]:
    """Every order of every choice of the two: what is refused under load has not happened."""
    return [order for size in range(len(_NAMES) + 1) for order in permutations(range(len(_NAMES)), size)]


def _shot(context: Context, mixed: Mix, draft: Draft) -> Shot:
    composer, at = context.session.composer, time.time()
    message = composer.message(mixed.request, draft, at=at)
    signed = replace(message, headers=message.headers + composer.signature(message, draft, at=at))
    return composer.as_it_stands(signed, draft, at=at)


def _moved(before: Reading, after: Reading) -> Outcome:
    return tuple(difference(new, old) for old, new in zip(before.values, after.values, strict=True))


def _void(delivery: Delivery) -> str:
    """Why a burst of two shows nothing: one of them did not come through."""
    if any(response is None or response.status in LIMITED for response in delivery.responses):
        return "one of the two was turned away by a rate limiter, or not answered"
    return unheard_fault(delivery.responses)


def raced(context: Context) -> dict[str, tuple[MixedRace, Tally]]:
    """Every [[mix]] against the operation, until one hits; the time is shared evenly."""
    found: dict[str, tuple[MixedRace, Tally]] = {}
    mixes = context.plan.mix
    for place, mixed in enumerate(mixes):
        now = time.monotonic()
        until = now + max(0.0, context.until - now) / (len(mixes) - place)
        race = MixedRace(replace(context, until=until), mixed)
        tally = race.run()
        found[str(mixed.request)] = race, tally
        if tally.hit is not None:
            break
    return found
