"""Many bursts of one kind, until one hits, enough were clean, or the time is over.

Rule: the sequential twin comes first. What it already does wrong is no race, and what only the burst does wrong is one.
One verified effect too many is proof, so the first hit ends the race; it is repeated only to report how often it comes.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from tocsin.findings import Verdict
from tocsin.scan._backoff import REPEATS_OF_A_HIT, VOIDS_IN_A_ROW, hold_s, pause_s
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone, ended_by
from tocsin.scan._oracle import Reading
from tocsin.scan._outcome import Outcome
from tocsin.scan._session import Session
from tocsin.scan._styles import answer_gap_us
from tocsin.scan._trial import Trial
from tocsin.scan._trials import Planned, confirm, overlapping, sequential, watch
from tocsin.wire import Style

# So many bursts settle together: they share nearly all of that wait, and few are sent in vain where one hits.
_TOGETHER = 4
# Of bursts that may be spread, every tenth is, over so many times what a request takes. At an even place sizes are
# large (see _SIZES of concurrent-duplicate): few copies might all come before something is forgotten, or too late.
_SPREAD_EVERY, _SPREAD_AT, _SPREAD = 10, 8, 1.2
# So many of the first clean bursts are looked at again at the end, where each has resources of its own.
_LOOKED_AT_AGAIN = 4
# On a state that all trials share, a hit that came back no more often than this may be somebody else's write, twice.
_HARDLY_EVER = 1


@dataclass(frozen=True, slots=True)
class Members:
    """The requests of one burst, on a scene of their own, and how many effects they may have together."""

    shots: tuple[Shot, ...]
    allowed: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is raced.

    Args:
        name: of the variant, for the report.
        compose: makes the members of a burst of a given size, on a new scene.
        sizes: of bursts, taken in turn.
        least: the smallest size that can show anything.
        wanted: how many clean bursts are enough.
        hit: names what is wrong with a burst, beside its sequential twin, or "".
        is_apart: whether each burst has resources of its own, so that several may settle together.
        spreads: whether every tenth burst is spread over the time that a request takes, and a little more: what is
            remembered for a while only is forgotten while the first one is still at work.
    """

    name: str
    compose: Callable[[int], Members]
    sizes: tuple[int, ...]
    least: int
    wanted: int
    hit: Callable[[Trial, Trial], str]
    is_apart: bool = False
    spreads: bool = False


class _Kind(NamedTuple):
    """What a burst is like: its size, and whether it is spread over the time that a request takes."""

    size: int
    is_spread: bool = False


def race(session: Session, experiment: Experiment, *, until: float) -> Outcome:
    """Run an experiment to its end, or until a monotonic time. What ends it early is noted, not raised."""
    outcome = Outcome()
    began = time.monotonic()
    try:
        members = experiment.compose(max(experiment.sizes))
        outcome.twin = sequential(session, members.shots, members.allowed)
        what = experiment.hit(outcome.twin, outcome.twin)
        if what:
            confirm(session, [shot.draft for shot in members.shots], outcome.twin)
            session.has_hit = True
            if not experiment.is_apart and not _comes_back_in_turn(session, experiment):
                outcome.watched_s = watch(session, [shot.draft for shot in members.shots], since=began)
            outcome.also_sequential, outcome.what = True, what
        _ask_canaries(session, experiment)
        early: list[tuple[list[Draft], Reading]] = []
        _bursts(session, experiment, outcome, began, until=until, early=early)
        _nothing_came_later(session, early)
    except BudgetEnded as ended:
        outcome.cut_short = str(ended)
    except (CannotTell, ServiceGone) as error:
        outcome.missing = str(error)
    except KeyboardInterrupt as interrupt:
        session.keep_hit(interrupt)
    if session.ended is not None:
        outcome.cut_short = ended_by(session.ended)
    outcome.styles = session.rotation.facts()
    if outcome.also_sequential and outcome.hit is None:
        # No burst was needed to see it: whatever became of the bursts, the state was read.
        outcome.hit = outcome.twin
    return outcome


def _comes_back_in_turn(session: Session, experiment: Experiment) -> bool:
    """Whether the sequential twin does it again, on a scene of its own."""
    try:
        members = experiment.compose(max(experiment.sizes))
    except (BudgetEnded, CannotTell, ServiceGone):
        return False  # there is no other scene to be had
    with suppress(BudgetEnded, ServiceGone):
        again = sequential(session, members.shots, members.allowed)
        return bool(experiment.hit(again, again))
    return False


def _ask_canaries(session: Session, experiment: Experiment) -> None:
    """For each style in which a service may act too early: one lone request, held for long, must not be answered."""
    for style in tuple(session.rotation.unasked):
        canary = experiment.compose(experiment.least).shots[:1]
        drafts = [shot.draft for shot in canary]
        before = session.read(drafts)
        delivery = session.deliver(canary, hold_s=hold_s(VOIDS_IN_A_ROW), style=style)
        session.effects(drafts, before)
        session.rotation.asked(style, delivery.void)


def _bursts(
    session: Session,
    experiment: Experiment,
    outcome: Outcome,
    began: float,
    *,
    until: float,
    early: list[tuple[list[Draft], Reading]],
) -> None:
    """Burst after burst; `early` takes the first clean ones and what the state was after them, if nothing hits."""
    twin, gentle = outcome.twin, 0
    assert twin is not None, "it comes first"
    while outcome.clean < experiment.wanted:
        # One burst at least, where the scan has time: without any, all that the twin has cost tells nothing.
        if time.monotonic() > until and (outcome.clean or outcome.voids):
            outcome.cut_short = f"its share of the time ended after {outcome.clean} of {experiment.wanted} bursts"
            return
        if session.rotation.alone:
            raise CannotTell(session.rotation.alone)
        together = _TOGETHER if experiment.is_apart and session.plan.settle_s and not gentle else 1
        ahead = range(outcome.clean, min(outcome.clean + together, experiment.wanted))
        kinds = [_kind(experiment, place) for place in ahead]
        for kind, (members, trial, what) in zip(kinds, _played(session, experiment, twin, kinds, gentle), strict=True):
            if what:
                session.has_hit = True
                outcome.rate = _repeated(session, experiment, twin, kind, until)
                if outcome.rate[0] <= _HARDLY_EVER and not experiment.is_apart:
                    outcome.watched_s = watch(session, [shot.draft for shot in members.shots], since=began)
                outcome.hit, outcome.what = trial, what
                outcome.smallest = _shrunk(session, experiment, twin, kind, until)
                early.clear()
                return
            if experiment.is_apart and trial.reading is not None and not trial.void and len(early) < _LOOKED_AT_AGAIN:
                early.append(([shot.draft for shot in members.shots], trial.reading))
            gentle = _counted(session, experiment, outcome, trial, gentle, kind=kind)


def _nothing_came_later(session: Session, early: Sequence[tuple[list[Draft], Reading]]) -> None:
    """Look at the first bursts' states once more. Raises CannotTell if effects came after they had settled."""
    for (_, shown), still in zip(early, session.read_each([drafts for drafts, _ in early]), strict=True):
        try:
            later = still.effects_since(shown)
        except CannotTell:
            continue  # what has gone the other way, a reservation that ended, is no effect
        if later:
            raise CannotTell(
                f"{later} effects of a burst came after it had settled ({shown}; then {still}): effects arrive later "
                "than settle_ms says"
            )


def _kind(experiment: Experiment, place: int) -> _Kind:
    """What the burst at a place in the order is like."""
    is_spread = experiment.spreads and place % _SPREAD_EVERY == _SPREAD_AT
    return _Kind(experiment.sizes[place % len(experiment.sizes)], is_spread)


def _counted(
    session: Session, experiment: Experiment, outcome: Outcome, trial: Trial, gentle: int, *, kind: _Kind
) -> int:
    """Count a burst that did not hit, as clean or as void. Returns how gentle the next one has to be."""
    if trial.void:
        outcome.voids[trial.void] += 1
        gentle += 1
        if gentle == VOIDS_IN_A_ROW:
            raise CannotTell(f"{gentle} bursts in a row were void: {trial.void}")
        session.wait(pause_s(gentle))
        return gentle
    assert trial.delivery is not None, "it was concurrent"
    outcome.delivery = trial.delivery
    outcome.mixture[f"{'spread' if kind.is_spread else trial.delivery.style} n={trial.members}"] += 1
    session.progressed(experiment.name, outcome.clean, experiment.wanted)
    return 0


def _burst(session: Session, experiment: Experiment, twin: Trial, kind: _Kind) -> tuple[Trial, str]:
    """One burst more, after a hit. Only how often it hits is told: nobody waits to see whether somebody else writes."""
    [(_, trial, what)] = _delivered(session, experiment, twin, [kind], gentle=0, repeats=True)
    return trial, what


def _played(
    session: Session, experiment: Experiment, twin: Trial, kinds: Sequence[_Kind], gentle: int
) -> Iterator[tuple[Members, Trial, str]]:
    """Bursts that settle together, each with what is wrong with it, confirmed. Smaller and slower after void ones."""
    for members, trial, what in _delivered(session, experiment, twin, kinds, gentle):
        if what:
            try:
                confirm(session, [shot.draft for shot in members.shots], trial)
            except (BudgetEnded, ServiceGone) as ended:
                raise _unconfirmed(trial, str(ended)) from None
            except KeyboardInterrupt as interrupt:
                session.ended = interrupt
                raise _unconfirmed(trial, ended_by(interrupt)) from None
        yield members, trial, what


def _unconfirmed(trial: Trial, ended: str) -> CannotTell:
    """Not clean, and not proof either."""
    return CannotTell(
        f"a burst of {trial.members} had {trial.effects} effects, {trial.allowed} are allowed, and before that could "
        f"be confirmed: {ended}"
    )


def _delivered(
    session: Session,
    experiment: Experiment,
    twin: Trial,
    kinds: Sequence[_Kind],
    gentle: int,
    *,
    repeats: bool = False,
) -> list[tuple[Members, Trial, str]]:
    """Bursts that settle together, each with what is wrong with it; `repeats`: after one that has hit."""
    composed = [experiment.compose(max(experiment.least, kind.size >> gentle)) for kind in kinds]
    bursts = [_planned(session, members, twin, kind) for members, kind in zip(composed, kinds, strict=True)]
    trials = overlapping(session, bursts, hold_s=hold_s(gentle))
    whats = [experiment.hit(trial, twin) for trial in trials]
    for burst, trial, what in zip(bursts, trials, whats, strict=True):
        if burst.style is not None:
            _learn(session, burst.style, trial, twin, hit=bool(what) if what or repeats else None)
    return list(zip(composed, trials, whats, strict=True))


def _planned(session: Session, members: Members, twin: Trial, kind: _Kind) -> Planned:
    """A burst in the style whose turn it is; one that is spread is in the usual one, and tells nothing of styles."""
    count = len(members.shots)
    if not kind.is_spread:
        return Planned(members.shots, members.allowed, session.rotation.next(count))
    last_us = _SPREAD * twin.took_s * 1e6
    offsets_us = tuple(int(last_us * place / (count - 1)) for place in range(count))
    return Planned(members.shots, members.allowed, offsets_us=offsets_us)


def _learn(session: Session, style: Style, trial: Trial, twin: Trial, *, hit: bool | None) -> None:
    assert trial.delivery is not None, "it was concurrent"
    if trial.delivery.void:
        session.rotation.undelivered(style, trial.delivery.void)
    elif not trial.void:
        gap_us = answer_gap_us(trial.delivery.history, twin.statuses)
        session.rotation.delivered(style, trial.members, gap_us, hit=hit)


def _repeated(session: Session, experiment: Experiment, twin: Trial, kind: _Kind, until: float) -> tuple[int, int]:
    """How often the hit comes back, of how many tries. A hit that does not is still one: its effects were read."""
    hits = tries = 0
    try:
        while tries < REPEATS_OF_A_HIT and time.monotonic() < until:
            _, what = _burst(session, experiment, twin, kind)
            tries += 1
            hits += bool(what)
    except (BudgetEnded, CannotTell, ServiceGone):
        pass  # the rate is told for the tries there were
    except KeyboardInterrupt as interrupt:
        session.keep_hit(interrupt)
    return hits, tries


def _shrunk(session: Session, experiment: Experiment, twin: Trial, kind: _Kind, until: float) -> str:
    """The smallest burst that hits still, and how often: whoever reproduces a race wants few requests."""
    tried: list[str] = []
    try:
        for fewer in sorted({other for other in experiment.sizes if other < kind.size}):
            hits = tries = members = 0
            while tries < REPEATS_OF_A_HIT and time.monotonic() < until:
                trial, what = _burst(session, experiment, twin, kind._replace(size=fewer))
                members, tries, hits = trial.members, tries + 1, hits + bool(what)
            if hits:
                return f"; {members} requests are enough ({hits} of {tries})"
            if tries:
                tried.append(f"{members} in {tries} tries")
    except (BudgetEnded, CannotTell, ServiceGone):
        pass  # what was tried so far is told
    except KeyboardInterrupt as interrupt:
        session.keep_hit(interrupt)
    return f"; fewer requests did not hit: {', '.join(tried)}" if tried else ""


def worst(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict of a check with variants: a hit counts, then what could not be told, then what is clean."""
    order = (Verdict.VIOLATED, Verdict.INCONCLUSIVE, Verdict.NOT_OBSERVED, Verdict.NOT_APPLICABLE)
    return min(verdicts.values(), key=order.index)
