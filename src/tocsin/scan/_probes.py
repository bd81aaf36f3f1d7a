"""Probes: requests of which each asks whether the service accepts it.

Rule: accepted means a success status and an effect, and a refusal counts only where an honest request is accepted on
the same resource right after it: used-up stock must not pass for a defence. Probes with ids of their own share one
settling and one reading, and are told apart, one by one, only if the state moved.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tocsin.scan._backoff import LIMITED_WAITS_S
from tocsin.scan._bursts import FIRST_SERVER_ERROR
from tocsin.scan._check import Context
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import State
from tocsin.scan._sending import SIDE_BY_SIDE
from tocsin.scan._stage import Scene
from tocsin.scan._statuses import LIMITED
from tocsin.wire import Response

Make = Callable[[Draft], Shot]
# The same, or None where this draft cannot show what is asked.
MayMake = Callable[[Draft], Shot | None]
# A draft that cannot is drawn again: a signature in base64 has a character of one alphabet alone 3 times out of 4.
_DRAWS = 20

# A half of so few costs more than each of them alone.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of a probe.

    Args:
        status: of the answer, None if none came.
        effects: how many it had.
        accepted: whether it was a success and had an effect.
    """

    status: int | None
    effects: int
    accepted: bool

    @property
    def word(self) -> str:
        """For a report."""
        return "accepted" if self.accepted else "refused"

    @property
    def answer(self) -> str:
        """Its status as text, "none" without an answer."""
        return shown(self.status)


def shown(status: int | None) -> str:
    """A status as text, "none" without an answer."""
    return "none" if status is None else str(status)


def is_server_error(status: int | None) -> bool:
    """Whether the service failed at a request, rather than being busy or limiting (checks.md, "Void")."""
    return status is not None and status >= FIRST_SERVER_ERROR and status not in LIMITED


def together(
    context: Context, makes: Mapping[str, Make], *, honest: Make | None = None, side_by_side: bool = False
) -> dict[str, Probed]:
    """What became of each probe, all of them on one scene.

    Args:
        context: of the check.
        makes: a probe's name, and how a distinct request is made into it.
        honest: makes the honest request that has to be accepted after refusals; the plan's own by default.
        side_by_side: whether all are to be refused, so that several may be under way at once.

    Raises:
        CannotTell: an honest request is not accepted where they were refused, or a rate limiter leaves no room.
    """
    session = context.session
    scene = context.stage.scene()
    drafts = {name: context.stage.draft(scene) for name in makes}
    before = session.read(list(drafts.values()))
    if side_by_side:
        statuses = refused_each(context, {name: makes[name](draft) for name, draft in drafts.items()})
    else:
        statuses = {}
        for place, (name, draft) in enumerate(drafts.items(), start=1):
            statuses[name] = answered(context, makes[name](draft))
            session.progressed("probes", place, len(makes))
    effects, _ = session.effects(list(drafts.values()), before)
    if effects:
        return _told_apart(context, makes, honest)
    honest_after(context, scene, make=honest)
    limited = {name for name, status in statuses.items() if status in LIMITED}
    return {
        name: alone(context, makes[name], honest=honest) if name in limited else Probed(status, 0, accepted=False)
        for name, status in statuses.items()
    }


def _told_apart(context: Context, makes: Mapping[str, Make], honest: Make | None) -> dict[str, Probed]:
    """Probes of which some had an effect, by halves: on a scene of its own, each half has room for its own."""
    if context.stage.is_apart:
        return _each_alone(context, makes, honest)
    if len(makes) <= _FEW:
        return {name: alone(context, make, honest=honest) for name, make in makes.items()}
    names = list(makes)
    found: dict[str, Probed] = {}
    for half in (names[: len(names) // 2], names[len(names) // 2 :]):
        found |= together(context, {name: makes[name] for name in half}, honest=honest)
    return found


def _each_alone(context: Context, makes: Mapping[str, Make], honest: Make | None) -> dict[str, Probed]:
    """The same where scenes are apart: each on its own at once, and then an honest request after each refusal."""
    scenes = {name: context.stage.scene() for name in makes}
    found = {
        name: probed
        for name, probed in _on(context, scenes, makes).items()
        if probed.status not in LIMITED or probed.effects
    }
    room = {
        name: scenes[name]
        for name, probed in found.items()
        if not probed.accepted and (scenes[name].capacity or probed.effects + 1) > probed.effects
    }
    accepted = _on(context, room, dict.fromkeys(room, honest or context.session.shot))
    for name, probed in accepted.items():
        if not probed.accepted:
            honest_after(context, scenes[name], used=found[name].effects, make=honest)
    return {name: found.get(name) or alone(context, make, honest=honest) for name, make in makes.items()}


def alone(context: Context, make: Make, *, states: tuple[State, ...] = (), honest: Make | None = None) -> Probed:
    """What becomes of a probe on a scene of its own; again, with new ids, while a rate limiter says no.

    Args:
        context: of the check.
        make: makes a distinct request into the probe.
        states: where its effect shows, if not in the plan's own states.
        honest: makes the honest request that has to be accepted after a refusal; the plan's own by default.

    Raises:
        CannotTell: see `together`.
    """
    session = context.session
    for wait_s in (*LIMITED_WAITS_S, None):
        scene = context.stage.scene()
        draft = context.stage.draft(scene)
        before = session.read([draft], states)
        status = answered(context, make(draft))
        effects, _ = session.effects([draft], before)
        if status not in LIMITED or effects:
            break
        if wait_s is None:
            raise CannotTell(f"a probe is answered {status} however long one waits: nothing can be told of it")
        session.wait(wait_s)
    probed = Probed(status, effects, accepted=effects > 0 and context.plan.is_success(status))
    if not probed.accepted:
        honest_after(context, scene, states, used=effects, make=honest)
    return probed


def refused_each(context: Context, shots: Mapping[str, Shot]) -> dict[str, int | None]:
    """The status for each of several requests, none of which should be accepted; by their names."""
    session, every = context.session, list(shots.values())
    responses: list[Response | None] = []
    while len(responses) < len(every):
        responses += session.send_each(every[len(responses) : len(responses) + SIDE_BY_SIDE])
        session.progressed("probes", len(responses), len(every))
    return {
        name: None if response is None else response.status for name, response in zip(shots, responses, strict=True)
    }


def each_apart(context: Context, makes: Mapping[str, MayMake]) -> dict[str, Probed]:
    """What became of each request, on a scene of its own; all share one settling, where scenes are apart.

    Left out is what no draft could show.
    """
    stage = context.stage
    if not stage.is_apart:
        return {one: probed for name in makes for one, probed in _on(context, {name: stage.scene()}, makes).items()}
    return _on(context, {name: stage.scene() for name in makes}, makes)


def _on(context: Context, scenes: Mapping[str, Scene], makes: Mapping[str, MayMake]) -> dict[str, Probed]:
    """What became of one request on each scene, all after one settling."""
    session = context.session
    drawn = {name: _drawn(context, scene, makes[name]) for name, scene in scenes.items()}
    made = {name: found for name, found in drawn.items() if found is not None}
    each = [[draft] for draft, _ in made.values()]
    before = session.read_each(each)
    statuses = {name: answered(context, shot) for name, (_, shot) in made.items()}
    return {
        name: Probed(status, effects, accepted=effects > 0 and context.plan.is_success(status))
        for (name, status), (effects, _) in zip(statuses.items(), session.effects_each(each, before), strict=True)
    }


def _drawn(context: Context, scene: Scene, make: MayMake) -> tuple[Draft, Shot] | None:
    """A draft that can show what is asked, and its request."""
    for _ in range(_DRAWS):
        draft = context.stage.draft(scene)
        shot = make(draft)
        if shot is not None:
            return draft, shot
    return None


def answered(context: Context, shot: Shot) -> int | None:
    """The status of the answer to a request, None without one."""
    response: Response | None = context.session.send(shot)
    return None if response is None else response.status


def honest_after(
    context: Context, scene: Scene, states: tuple[State, ...] = (), *, used: int = 0, make: Make | None = None
) -> None:
    """Make sure that a scene takes an honest request: what was refused on it was not refused for the scene's sake.

    Args:
        context: of the check.
        scene: of the probes.
        states: where the effect shows, if not in the plan's own states.
        used: how many effects the scene has had.
        make: makes the honest request; the plan's own by default.

    Raises:
        CannotTell: it is not accepted.
    """
    if scene.capacity is not None and used >= scene.capacity:
        return
    session = context.session
    for wait_s in (*LIMITED_WAITS_S, None):
        draft = context.stage.draft(scene)
        before = session.read([draft], states)
        status = answered(context, (make or session.shot)(draft))
        effects, _ = session.effects([draft], before)
        if effects and context.plan.is_success(status):
            return
        if status not in LIMITED or wait_s is None:
            break
        session.wait(wait_s)
    raise CannotTell(
        f"after the probes an honest request was answered {shown(status)} and had {effects} effects: "
        "wanted a success and an effect"
    )
