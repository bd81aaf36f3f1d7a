"""Does a request with a bad signature change state, whatever it is answered?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._forgery import forgery
from tocsin.scan._stage import Stage
from tocsin.scan._statuses import LIMITED
from tocsin.scan._trials import confirm, control, refused

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
    trial = refused(context.session, shots)
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
    rounds = _rounds(context)
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


def _rounds(context: Context) -> list[_Round]:
    """A forgery and the honest request with the same ids; an equal forgery, and an honest request with other ids."""
    pairs = [_same, _other] * _ROUNDS
    if context.stage.is_apart:
        accepted = _accepted_after(context, [pair(context.stage) for pair in pairs])
    else:
        # One after the other: making a scene may reset the state, and take away what the last pair plays on.
        accepted = [_accepted_after(context, [pair(context.stage)])[0] for pair in pairs]
    return [_Round(*both) for both in zip(accepted[::2], accepted[1::2], strict=True)]


def _same(stage: Stage) -> tuple[Draft, Draft]:
    draft = stage.draft(stage.scene())
    return draft, draft


def _other(stage: Stage) -> tuple[Draft, Draft]:
    scene = stage.scene()
    return stage.draft(scene), stage.draft(scene)


def _accepted_after(context: Context, pairs: Sequence[tuple[Draft, Draft]]) -> list[bool]:
    """Whether each honest request, the second of a pair, is accepted after the forgery; all share one settling."""
    session = context.session
    each = [[honest] for _, honest in pairs]
    before = session.read_each(each)
    responses = []
    for forged, honest in pairs:
        session.send(forgery(session.composer, forged, at=time.time()))
        responses.append(session.send(session.shot(honest)))
    shown = session.effects_each(each, before)
    return [
        effects > 0
        and response is not None
        and response.status not in LIMITED
        and session.plan.is_success(response.status)
        for (effects, _), response in zip(shown, responses, strict=True)
    ]


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
    cost=Cost(requests=30, settles=3),
    missing=needs_state,
    run=_run,
)
