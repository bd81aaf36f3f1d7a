"""One trial: the same requests at once, or one after the other, and what the state says about it.

Rule: a trial reads its effects from the state, never from the answers. A burst that was not delivered as planned is
void: it never counts as clean.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tocsin.findings import Json
from tocsin.history import History
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._oracle import Reading
from tocsin.scan._session import Session
from tocsin.scan._stage import Stage
from tocsin.wire import Delivery, Response, Style

# What a rate limiter or an overloaded service answers; never a finding of a check that races (checks.md).
LIMITED = frozenset({429, 503})
_LIMITED_STATUSES = frozenset(str(status) for status in LIMITED)
# How long a rate limiter is given before the control is tried again: most count by the second.
_CONTROL_WAITS_S = (0.4, 0.8, 1.6, 3.2)
# How many effects a resource must admit before a duplicate's refusal means something: with room for one, exhausted
# stock would pass for a defence.
ROOM = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """What a set of requests did.

    Args:
        allowed: how many effects these requests may have together.
        effects: how many they had, as the state shows.
        members: how many requests were sent.
        successes: how many of them were answered with a success status.
        statuses: how often each status was answered.
        state: before and after, in words.
        below_floor: whether a state ended below [limits] floor.
        history: who overlapped whom; None where nothing was meant to overlap.
        delivery: how the requests were delivered, and how that was proved; None where nothing was to overlap.
        void: why the trial cannot count as clean, or "". An effect too many is one all the same.
    """

    allowed: int
    effects: int
    members: int
    successes: int
    statuses: Mapping[str, int]
    state: tuple[str, str]
    below_floor: bool = False
    history: History | None = field(default=None, repr=False)
    delivery: Delivery | None = field(default=None, repr=False)
    void: str = ""

    @property
    def limited(self) -> int:
        """How many requests a rate limiter or an overloaded service turned away."""
        return sum(count for status, count in self.statuses.items() if status in _LIMITED_STATUSES)

    def facts(self) -> dict[str, Json]:
        """As a report shows it."""
        before, after = self.state
        facts: dict[str, Json] = {
            "requests": self.members,
            "effects": self.effects,
            "allowed_effects": self.allowed,
            "successes": self.successes,
            "statuses": dict(self.statuses),
            "state_before": before,
            "state_after": after,
        }
        if self.delivery is not None:
            facts |= {
                "delivery": delivery_facts(self.delivery),
                "most_in_flight": self.delivery.history.most_in_flight(),
            }
        return facts


def delivery_facts(delivery: Delivery) -> dict[str, Json]:
    """How a burst was delivered, as a report shows it."""
    return {
        "protocol": delivery.protocol,
        "style": delivery.style,
        "connections": delivery.connections,
        "send_skew_us": delivery.send_skew_us,
        "proof": delivery.proof,
        "because": delivery.choice,
    }


def control(session: Session, stage: Stage) -> Trial:
    """One fresh valid request on an idle state: a success and exactly one effect, or CannotTell.

    A rate limiter is given time, and a new identity each time: an old one might be refused as a replay.
    """
    trial = _fresh_one(session, stage)
    for wait_s in _CONTROL_WAITS_S:
        if not trial.limited:
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

    Not asked where [limits] says that a resource admits one effect.
    """
    scene = stage.scene(need=ROOM)
    if scene.capacity == 1:
        return
    trial = sequential(session, [session.shot(stage.draft(scene)) for _ in range(ROOM)], ROOM)
    if trial.effects < ROOM:
        raise CannotTell(
            f"two distinct valid requests on one resource had {trial.effects} effects ({_counted(trial)}): a second "
            "effect could not show; wanted a resource with room for two, or [limits] effects = 1"
        )


def sequential(session: Session, shots: Sequence[Shot], allowed: int) -> Trial:
    """The requests one after the other, each on a new connection."""
    drafts = [shot.draft for shot in shots]
    before = session.read(drafts)
    responses = [session.send(shot) for shot in shots]
    return _judged(session, drafts, responses, before, allowed)


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
    [trial] = overlapping(session, [(shots, allowed, style)], hold_s=hold_s)
    return trial


def overlapping(
    session: Session, bursts: Sequence[tuple[Sequence[Shot], int, Style | None]], *, hold_s: float
) -> list[Trial]:
    """Bursts on resources of their own, one after the other, that settle together. Else as `concurrent`."""
    drafts = [[shot.draft for shot in shots] for shots, _, _ in bursts]
    before = [session.read(of) for of in drafts]
    deliveries = [session.deliver(shots, hold_s=hold_s, style=style) for shots, _, style in bursts]
    session.settle()
    return [
        _read(session, drafts[place], before[place], deliveries[place], allowed)
        for place, (_, allowed, _) in enumerate(bursts)
    ]


def _read(session: Session, drafts: Sequence[Draft], before: Reading, delivery: Delivery, allowed: int) -> Trial:
    effects, after = session.effects(drafts, before, is_settled=True)
    trial = Trial(
        allowed=allowed,
        effects=effects,
        members=len(delivery.responses),
        successes=_successes(session, delivery.responses),
        statuses=delivery.history.statuses(),
        state=(str(before), str(after)),
        below_floor=_below_floor(session, after),
        history=delivery.history,
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
    )


def _void(trial: Trial, responses: Sequence[Response | None]) -> str:
    unanswered = sum(response is None for response in responses)
    if unanswered:
        return f"{unanswered} of {trial.members} members were not answered"
    through = trial.members - trial.limited
    if through <= trial.allowed:
        return f"a rate limiter let only {through} of {trial.members} members through"
    if trial.effects == 0:
        return f"no member was accepted ({_counted(trial)})"
    return ""


def _counted(trial: Trial) -> str:
    return ", ".join(f"{count} x {status}" for status, count in trial.statuses.items())


def _successes(session: Session, responses: Sequence[Response | None]) -> int:
    return sum(response is not None and session.plan.is_success(response.status) for response in responses)


def _below_floor(session: Session, after: Reading) -> bool:
    limits = session.plan.limits
    return limits is not None and limits.floor is not None and after.below(limits.floor)


def _status(response: Response | None) -> str:
    return "none" if response is None else str(response.status)
