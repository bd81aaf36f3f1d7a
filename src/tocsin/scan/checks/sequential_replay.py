"""The same signed request again, later: another effect?"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._forgery import respellings
from tocsin.scan._trial import Trial
from tocsin.scan._trials import ROOM, confirm, control, room, sequential, watch

# On as many new connections, so that they meet other worker processes.
_REPLAYS = 8
_FIRST_WAIT_S = 0.1
_GROWTH = 2.0
# Waiting costs the user's time and shows little in its first seconds; the bound says how long was waited.
_WAITING_SHARE_OF_SCAN = 0.12
# A hit after a wait is tried again after the same wait, where that is no more than this of the scan's time left.
_REPEATING_SHARE_OF_THE_REST = 0.5

# How a message is replayed: what that is called, and the copies.
Copies: TypeAlias = Callable[[Shot], tuple[str, list[Shot]]]


@dataclass(frozen=True, slots=True)
class _Step:
    """Replays of one accepted message, how many effects the message has had after them, and whether that came back."""

    name: str
    replays: int
    effects: int
    waited_s: float = 0.0
    state: tuple[str, str] = ("", "")
    again: str = ""

    def facts(self) -> dict[str, Json]:
        return {
            "step": self.name,
            "replays": self.replays,
            "effects": self.effects,
            "waited_s": round(self.waited_s, 1),
        }


def _run(context: Context) -> Conclusion:
    accepted = None
    if context.plan.captured is None:
        accepted = control(context.session, context.stage)
        room(context.session, context.stage)
    steps: list[_Step] = []
    cut_short = ""
    try:
        for step in _steps(context, time.monotonic()):
            steps.append(step)
            if step.effects > 1:
                break
    except BudgetEnded as ended:
        cut_short = str(ended)
    longest_s = max((step.waited_s for step in steps), default=0.0)
    facts: dict[str, Json] = {
        **({"control": accepted.facts()} if accepted else {"captured": True}),
        "steps": [step.facts() for step in steps],
        "longest_wait_s": round(longest_s, 1),
    }
    if steps and steps[-1].effects > 1:
        return _violated(steps[-1], facts)
    replays = sum(step.replays for step in steps)
    if not replays:
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(cut_short or "no replay was sent", facts))
    detail = f"the longest wait before a replay was {longest_s:.1f} s" + (f"; {cut_short}" if cut_short else "")
    bound = Bound(replays, "replays", detail=detail)
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), allowed_effects=1, bound=bound)


def _steps(context: Context, began: float) -> Iterator[_Step]:
    """Replays at once, in other spellings, and after growing waits."""
    if context.plan.captured is not None:
        yield from _of_one(context, began)
        return
    one, first = _block(context, _at_once, began)
    yield first
    other, second = _block(context, partial(_respelled, context), began)
    yield second
    yield from _after_others(context, "another message", one, first, began)
    yield from _waits(context, began)
    yield from _after_others(context, "all other messages", one, first, began)
    yield from _after_others(context, "all other messages", other, second, began)


def _at_once(first: Shot) -> tuple[str, list[Shot]]:
    return f"{_REPLAYS} replays on new connections", [first] * _REPLAYS


def _respelled(context: Context, first: Shot) -> tuple[str, list[Shot]]:
    spellings = respellings(context.session.composer, first)
    names = ", ".join(name for name, _ in spellings)
    return f"replays in other spellings: {names}", [shot for _, shot in spellings]


def _after_others(context: Context, others: str, shot: Shot, before: _Step, began: float) -> Iterator[_Step]:
    """A message again that was replayed before, now that others lie between: a memory may hold the last few only.

    Not where the other messages have used up what it would take: a [reset] gives that back, and may take the memory.
    """
    scheme = context.plan.scheme
    is_too_old = scheme.has_timestamp and time.time() - shot.at > scheme.tolerance_past_s
    if is_too_old or not context.stage.lasts:
        return
    trial = sequential(context.session, [shot], allowed=0)
    if context.stage.is_apart:
        _follows(before.state[1], trial)
    again = ""
    if trial.effects:
        confirm(context.session, [shot.draft], trial)
        again = _watched(context, shot, began)
    if not trial.limited:
        yield _Step(f"a replay after {others}", 1, before.effects + trial.effects, state=trial.state, again=again)


def _follows(after: str, trial: Trial) -> None:
    """The state of a message is as it was after its last trial, or CannotTell: an effect may be that one's else."""
    if trial.state[0] != after:
        raise CannotTell(
            f"the state moved between two replays ({after}; then {trial.state[0]}): effects arrive later than "
            "settle_ms says, reads are sometimes stale, or somebody else writes"
        )


def _of_one(context: Context, began: float) -> Iterator[_Step]:
    """Replays of the one message there is: at once, and after growing waits."""
    session = context.session
    shot = session.shot(context.stage.draft(context.stage.scene()))
    if not session.captured_is_spent:
        first = sequential(session, [shot], allowed=1)
        if first.effects != 1:
            raise CannotTell(
                f"the captured message was answered {', '.join(first.statuses)} and had {first.effects} effects: "
                "wanted one that was captured before it was delivered, and is not too old"
            )
        session.captured_is_spent = True
    trial = sequential(session, [shot] * _REPLAYS, allowed=0)
    again = ""
    if trial.effects:
        confirm(session, [shot.draft], trial)
        again = "" if trial.effects == _REPLAYS else _watched(context, shot, began)
    through = trial.members - trial.limited
    if not through:
        raise CannotTell(f"a rate limiter turned all {trial.members} replays away")
    yield _Step(f"{_REPLAYS} replays on new connections", through, 1 + trial.effects, state=trial.state, again=again)
    yield from _replayed_later(context, shot, began, effects=1, after=trial.state[1])


def _message(context: Context) -> Shot:
    return context.session.shot(context.stage.draft(context.stage.scene(need=ROOM)))


def _block(context: Context, copies: Copies, began: float) -> tuple[Shot, _Step]:
    """A fresh message, and what it did with its replays; a hit is tried again with another message."""
    first = _message(context)
    name, replays = copies(first)
    trial = sequential(context.session, [first, *replays], allowed=1)
    again = ""
    if trial.effects > 1:
        confirm(context.session, [first.draft], trial)
        again = _CAME_BACK if _comes_back(context, copies) else f"{_NOT_BACK} {_watched(context, first, began)}"
    context.session.progressed(name, len(replays), len(replays))
    return first, _Step(name, _replays(trial, len(replays)), trial.effects, state=trial.state, again=again)


def _comes_back(context: Context, copies: Copies, *, after_s: float = 0.0) -> bool:
    """Whether a fresh message takes effect again too, replayed in the same way and after the same wait."""
    session = context.session
    try:
        first = _message(context)
    except (BudgetEnded, CannotTell, ServiceGone):
        return False  # there is no further scene to be had
    with suppress(BudgetEnded, ServiceGone):
        accepted = sequential(session, [first], allowed=1)
        session.wait(after_s)
        return accepted.effects > 0 and sequential(session, copies(first)[1], allowed=0).effects > 0
    return False


def _watched(context: Context, shot: Shot, began: float) -> str:
    """Watch a state that all messages share, and say for how long. Raises CannotTell if somebody else writes to it."""
    if context.stage.is_apart:
        return ""
    watched_s = watch(context.session, [shot.draft], since=began)
    return f"Nobody else wrote while the state was watched for {watched_s:.1f} s." if watched_s else ""


def _replays(trial: Trial, sent: int) -> int:
    """How many replays were judged: of an accepted message, and not turned away by a rate limiter."""
    through = sent - trial.limited
    if trial.effects < 1 or through < 1:
        answers = ", ".join(f"{count} x {status}" for status, count in trial.statuses.items())
        raise CannotTell(f"a message and its replays had {trial.effects} effects and were answered {answers}")
    return through


def _waits(context: Context, began: float) -> Iterator[_Step]:
    """One accepted message, replayed after growing waits, as one block without a reset."""
    shot = _message(context)
    accepted = sequential(context.session, [shot], allowed=1)
    if not accepted.effects:
        raise CannotTell(f"a message to replay later was answered {', '.join(accepted.statuses)} and had no effect")
    yield from _replayed_later(context, shot, began, effects=accepted.effects, after=accepted.state[1])


def _replayed_later(context: Context, shot: Shot, began: float, *, effects: int, after: str) -> Iterator[_Step]:
    session = context.session
    started = time.monotonic()
    until = min(context.until, started + _WAITING_SHARE_OF_SCAN * context.plan.budget.seconds)
    wait_s = _FIRST_WAIT_S
    while time.monotonic() + wait_s < until and effects < 2:  # noqa: PLR2004  the second effect is the finding
        session.wait(wait_s)
        waited_s, wait_s = time.monotonic() - started, wait_s * _GROWTH
        if context.plan.scheme.has_timestamp and waited_s > context.plan.scheme.tolerance_past_s:
            return
        trial = sequential(session, [shot], allowed=0)
        _follows(after, trial)
        after = trial.state[1]
        again = ""
        if trial.effects:
            confirm(session, [shot.draft], trial)
            again = _later_again(context, shot, began, waited_s)
        effects += trial.effects
        if trial.limited:
            continue
        session.progressed("replays after growing waits", int(10 * waited_s), int(10 * (until - started)))
        yield _Step(f"a replay {waited_s:.1f} s later", 1, effects, waited_s, trial.state, again)


def _later_again(context: Context, shot: Shot, began: float, waited_s: float) -> str:
    """What is told of whether a replay after a wait takes effect once more. Where no state is shared, nobody waits."""
    if context.stage.is_apart:
        return ""
    left_s = context.session.deadline - time.monotonic()
    has_time = context.plan.captured is None and waited_s < _REPEATING_SHARE_OF_THE_REST * left_s
    if has_time and _comes_back(context, _once_more, after_s=waited_s):
        return _CAME_BACK
    return _watched(context, shot, began)


def _once_more(first: Shot) -> tuple[str, list[Shot]]:
    return "a replay", [first]


def _violated(step: _Step, facts: dict[str, Json]) -> Conclusion:
    before, after = step.state
    said = f"{step.name}: {step.effects} effects of one message; 1 is allowed ({before}; then {after}). {step.again}"
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(said.strip(), facts),
        severity=Severity.HIGH,
        effects=step.effects,
        allowed_effects=1,
        remedy=_REMEDY,
    )


_CAME_BACK = "With another message it came back."
_NOT_BACK = "With another message it did not come back."
_REMEDY = (
    "Nothing remembers the message, or not under every spelling of it. Claim what is signed, not how it is spelled, in "
    "the commit that makes the handler's writes."
)

CHECK = Check(
    id="sequential-replay",
    title="The same signed request again, later: another effect?",
    cwe=(294,),
    owasp="API2:2023 Broken Authentication",
    share=12,
    cost=Cost(requests=28, settles=8),
    missing=needs_state,
    run=_run,
    takes_captured=True,
)
