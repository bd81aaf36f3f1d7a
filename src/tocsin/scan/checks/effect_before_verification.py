"""Does a request with a bad signature change state, whatever it is answered?"""

import time
from dataclasses import dataclass

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._forgery import forgery
from tocsin.scan._trials import LIMITED, confirm, control, sequential

_FORGERIES = 10
# Three times of three, so that a limiter which locks a sender out is not mistaken for a burnt id (checks.md).
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class _Round:
    """After a forgery: was the honest request with its ids accepted, and one with other ids?"""

    same_ids: bool
    other_ids: bool


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    scene = context.stage.scene()
    shots = [forgery(context.session.composer, context.stage.draft(scene), at=time.time()) for _ in range(_FORGERIES)]
    trial = sequential(context.session, shots, allowed=0)
    facts: dict[str, Json] = {"control": accepted.facts(), "forgeries": trial.facts()}
    if trial.effects > trial.successes:
        confirm(context.session, [shot.draft for shot in shots], trial)
        before, after = trial.state
        summary = (
            f"{trial.members} requests with a wrong signature had {trial.effects} effects under {trial.successes} "
            f"successes: {before}, then {after}."
        )
        return _violated(summary, facts, Severity.HIGH, trial.effects, _REMEDY)
    judged = trial.members - trial.limited
    if not judged:
        raise CannotTell(f"a rate limiter turned all {trial.members} forgeries away")
    if trial.effects:
        # An honest request after an accepted forgery is a duplicate: nothing can be told about burnt ids.
        return _clean(judged, facts, "forgeries were accepted, which is for signature-bypass to say")
    rounds = [_round(context) for _ in range(_ROUNDS)]
    facts["after_a_forgery"] = [{"same_ids": found.same_ids, "other_ids": found.other_ids} for found in rounds]
    if not all(found.same_ids or found.other_ids for found in rounds):
        raise CannotTell(
            "after a forgery, honest requests are refused whatever their ids: a lock-out may hide the answer"
        )
    if all(found.other_ids and not found.same_ids for found in rounds):
        summary = (
            "After a request with a wrong signature, the honest one with the same ids is refused, and one with other "
            f"ids is accepted ({_ROUNDS} of {_ROUNDS} times): the forgery used up the ids."
        )
        return _violated(summary, facts, Severity.MEDIUM, None, _BURNT_REMEDY)
    return _clean(judged + 2 * _ROUNDS, facts, "")


def _clean(forgeries: int, facts: dict[str, Json], detail: str) -> Conclusion:
    bound = Bound(forgeries, "forgeries", detail=detail)
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), allowed_effects=0, bound=bound)


def _round(context: Context) -> _Round:
    """A forgery and the honest request with the same ids; an equal forgery, and an honest request with other ids."""
    same = context.stage.draft(context.stage.scene())
    same_ids = _accepted_after(context, same, same)
    # Only now: making a scene may reset the state, and take away what the first half plays on.
    scene = context.stage.scene()
    other_ids = _accepted_after(context, context.stage.draft(scene), context.stage.draft(scene))
    return _Round(same_ids, other_ids)


def _accepted_after(context: Context, forged: Draft, honest: Draft) -> bool:
    session = context.session
    before = session.read([honest])
    session.send(forgery(session.composer, forged, at=time.time()))
    response = session.send(session.shot(honest))
    effects, _ = session.effects([honest], before)
    if response is not None and response.status in LIMITED:
        return False
    return response is not None and session.plan.is_success(response.status) and effects > 0


def _violated(summary: str, facts: dict[str, Json], severity: Severity, effects: int | None, remedy: str) -> Conclusion:
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(summary, facts),
        severity=severity,
        effects=effects,
        allowed_effects=0,
        remedy=remedy,
    )


_REMEDY = "Verify the signature over the raw body before anything is parsed, looked up or written."
_BURNT_REMEDY = (
    "Claim an id only once the signature has been verified: a stranger who guesses or sees an id can otherwise make "
    "the honest message fail."
)

CHECK = Check(
    id="effect-before-verification",
    title="Does a request with a bad signature change state, whatever it is answered?",
    cwe=(345, 696),
    owasp="API2:2023 Broken Authentication",
    share=1,
    cost=Cost(requests=50, settles=8),
    missing=needs_state,
    run=_run,
)
