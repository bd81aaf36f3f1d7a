"""One trial: the same requests at once, or one after the other, and what the state says about it.

Rule: a trial reads its effects from the state, never from the answers. A burst that was not delivered as planned is
void: it never counts as clean.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from tocsin.scan._backoff import LIMITED_WAITS_S
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._oracle import Reading
from tocsin.scan._session import LOOK_AGAIN_S, WHY_IT_MOVES, Session
from tocsin.scan._stage import Stage
from tocsin.scan._statuses import UNHEARD
from tocsin.scan._trial import Trial
from tocsin.wire import Delivery, Response, Style

# How many effects a resource must admit before a duplicate's refusal means something: with room for one, exhausted
# stock would pass for a defence.
ROOM = 2
# How long a state that all trials share is watched for somebody else's writes, after a hit that did not come back: so
# many times as long as trials have been made, and not less than this. Who writes every five seconds is seen by then.
_WATCHED_TIMES, _WATCHED_AT_LEAST_S = 2.0, 6.0
_WATCHED_SHARE_OF_THE_REST = 0.5
_LOOKS = 12


class Planned(NamedTuple):
    """A burst to come: its members, how many effects they may have, how they are held back, and when each leaves."""

    shots: Sequence[Shot]
    allowed: int
    style: Style | None = None
    offsets_us: tuple[int, ...] = ()


def control(session: Session, stage: Stage, *, anew: bool = False) -> Trial:
    """One fresh valid request on an idle state: a success and exactly one effect, or CannotTell.

    A rate limiter is given time, and a new identity each time: an old one might be refused as a replay. Checks that
    follow closely on each other share one, for as long as a look at the idle state is good for: what one of them leaves
    broken shows in the honest requests of the next.

    Args:
        session: sends it.
        stage: gives the scene, and knows the last one.
        anew: whether no other check's will do: where a check has no honest request of its own whose effect is read.
    """
    if not anew and stage.controlled is not None and time.monotonic() - stage.controlled[0] < LOOK_AGAIN_S:
        return stage.controlled[1]
    trial = _controlled(session, stage)
    stage.controlled = time.monotonic(), trial
    return trial


def _controlled(session: Session, stage: Stage) -> Trial:
    trial = _fresh_one(session, stage)
    for wait_s in LIMITED_WAITS_S:
        if not trial.limited + trial.unheard:
            break
        session.wait(wait_s)
        trial = _fresh_one(session, stage)
    if trial.successes == 1 and trial.effects == 1:
        return trial
    raise CannotTell(
        f"a fresh valid request was answered {', '.join(trial.statuses)} and had {trial.effects} effects "
        f"({trial.state[0]}; then {trial.state[1]}): wanted a success and exactly one effect. "
        "Is the secret right, and are the ids fresh?"
    )


def _fresh_one(session: Session, stage: Stage) -> Trial:
    draft = stage.draft(stage.scene())
    before = session.at_rest([draft])
    return _judged(session, [draft], [session.send(session.shot(draft))], before, allowed=1)


def room(session: Session, stage: Stage) -> None:
    """A second distinct request on one resource has an effect too, or CannotTell: else that of a duplicate cannot show.

    Not asked where [limits] says that a resource admits one effect, and asked once a scan: that is how resources are.
    """
    if stage.has_room:
        return
    scene = stage.scene(need=ROOM)
    if scene.capacity == 1:
        return
    trial = sequential(session, [session.shot(stage.draft(scene)) for _ in range(ROOM)], ROOM)
    if trial.effects < ROOM:
        raise CannotTell(
            f"two distinct valid requests on one resource had {trial.effects} effects ({_counted(trial)}): a second "
            "effect could not show; wanted a resource with room for two, or [limits] effects = 1"
        )
    stage.has_room = True


def sequential(session: Session, shots: Sequence[Shot], allowed: int) -> Trial:
    """The requests one after the other, each on a new connection."""
    drafts = [shot.draft for shot in shots]
    before = session.read(drafts)
    responses, took_s = [], 0.0
    for shot in shots:
        begun = time.monotonic()
        responses.append(session.send(shot))
        took_s = max(took_s, time.monotonic() - begun)
    return replace(_judged(session, drafts, responses, before, allowed), took_s=took_s)


def refused(session: Session, shots: Sequence[Shot]) -> Trial:
    """Requests none of which should be accepted, a few at a time: what their order is, means nothing."""
    drafts = [shot.draft for shot in shots]
    before = session.read(drafts)
    return _judged(session, drafts, session.send_each(shots), before, allowed=0)


def concurrent(
    session: Session, shots: Sequence[Shot], allowed: int, *, hold_s: float, style: Style | None = None
) -> Trial:
    """The requests at once.

    Args:
        session: delivers them.
        shots: the members.
        allowed: how many effects they may have together. A burst of which a rate limiter lets no more than that many
            members through can show nothing, and is void.
        hold_s: how long they are parked before the gate opens.
        style: how they are held back; by default as is usual for the protocol.
    """
    [trial] = overlapping(session, [Planned(shots, allowed, style)], hold_s=hold_s)
    return trial


def overlapping(session: Session, bursts: Sequence[Planned], *, hold_s: float) -> list[Trial]:
    """Bursts on resources of their own, one after the other, that settle together. Else as `concurrent`."""
    drafts = [[shot.draft for shot in burst.shots] for burst in bursts]
    before = session.read_each(drafts)
    deliveries = [
        session.deliver(burst.shots, hold_s=hold_s, style=burst.style, offsets_us=burst.offsets_us) for burst in bursts
    ]
    shown = session.effects_each(drafts, before)
    return [
        _told(session, shown[place], deliveries[place], before[place], burst.allowed)
        for place, burst in enumerate(bursts)
    ]


def _told(session: Session, shown: tuple[int, Reading], delivery: Delivery, before: Reading, allowed: int) -> Trial:
    effects, after = shown
    trial = Trial(
        allowed=allowed,
        effects=effects,
        members=len(delivery.responses),
        successes=_successes(session, delivery.responses),
        statuses=delivery.history.statuses(),
        state=(str(before), str(after)),
        below_floor=_below_floor(session, after),
        history=delivery.history,
        reading=after,
        responses=tuple(delivery.responses),
        delivery=delivery,
    )
    trial = replace(trial, void=delivery.void or _void(trial, delivery.responses))
    session.collected(delivery, effects, trial.void)
    return trial


def confirm(session: Session, drafts: Sequence[Draft], trial: Trial) -> None:
    """Make sure that nobody else can have caused a hit. Raises CannotTell if somebody may have."""
    still = session.idle(drafts)
    if str(still) != trial.state[1]:
        raise CannotTell(
            f"the state moved after it had settled ({trial.state[1]}; then {still}): somebody else writes, or effects "
            "arrive later than settle_ms says"
        )
    if trial.effects > trial.members:
        raise CannotTell(f"{trial.members} requests and {trial.effects} effects: somebody else writes")


def watch(session: Session, drafts: Sequence[Draft], *, since: float) -> float:
    """Look on at a state that all trials share: a hit that does not come back may be somebody else's write.

    Args:
        session: reads.
        drafts: whose state it is.
        since: the monotonic time at which the first trial began of those that might have met such a write.

    Returns:
        For how many seconds it stood still, 0 if no budget was left for it, or an interrupt came.

    Raises:
        CannotTell: it moved.
    """
    now = time.monotonic()
    left_s = max(0.0, session.deadline - now) * _WATCHED_SHARE_OF_THE_REST
    long_s = min(left_s, max(_WATCHED_AT_LEAST_S, _WATCHED_TIMES * (now - since)))
    try:
        first = session.read(drafts)
        for _ in range(_LOOKS):
            session.wait(long_s / _LOOKS)
            still = session.read(drafts)
            if still != first:
                raise CannotTell(f"the state moves while nothing is sent ({first}; then {still}): {WHY_IT_MOVES}")
    except (BudgetEnded, ServiceGone):
        return 0.0
    except KeyboardInterrupt as interrupt:
        session.keep_hit(interrupt)
        return 0.0
    return long_s


def _judged(
    session: Session, drafts: Sequence[Draft], responses: Sequence[Response | None], before: Reading, allowed: int
) -> Trial:
    effects, after = session.effects(drafts, before)
    return Trial(
        allowed=allowed,
        effects=effects,
        members=len(responses),
        successes=_successes(session, responses),
        statuses=dict(sorted(Counter(_status(response) for response in responses).items())),
        state=(str(before), str(after)),
        below_floor=_below_floor(session, after),
        responses=tuple(responses),
    )


def _void(trial: Trial, responses: Sequence[Response | None]) -> str:
    unanswered = sum(response is None for response in responses)
    if unanswered:
        return f"{unanswered} of {trial.members} members were not answered"
    unheard = unheard_fault(responses)
    if unheard:
        return unheard
    through = trial.members - trial.limited
    if through <= trial.allowed:
        return f"a rate limiter let only {through} of {trial.members} members through"
    if trial.effects == 0:
        return f"no member was accepted ({_counted(trial)})"
    return ""


def unheard_fault(responses: Sequence[Response | None]) -> str:
    """Why answers void a burst, or "": a member that nobody looked at did not run, as on a stream that was refused."""
    found = Counter(response.status for response in responses if response is not None and response.status in UNHEARD)
    if not found:
        return ""
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(found.items()))
    return f"{found.total()} of {len(responses)} members were not looked at ({answers})"


def _counted(trial: Trial) -> str:
    return ", ".join(f"{count} x {status}" for status, count in trial.statuses.items())


def _successes(session: Session, responses: Sequence[Response | None]) -> int:
    return sum(response is not None and session.plan.is_success(response.status) for response in responses)


def _below_floor(session: Session, after: Reading) -> bool:
    limits = session.plan.limits
    return limits is not None and limits.floor is not None and after.below(limits.floor)


def _status(response: Response | None) -> str:
    return "none" if response is None else str(response.status)
