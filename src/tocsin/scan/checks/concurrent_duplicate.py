"""The same signed request N times at once: more than one effect?"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._linear import is_linearizable, once_only
from tocsin.scan._outcome import Outcome
from tocsin.scan._plan import DELIVERY_ID, Plan
from tocsin.scan._race import Experiment, Members, race, worst
from tocsin.scan._statistics import WANTED_IDENTICAL_BURSTS, upper_limit
from tocsin.scan._template import INSTANT_NAMES, Template
from tocsin.scan._trial import Trial
from tocsin.scan._trials import ROOM, concurrent, confirm, control, room, sequential

# Half of all bursts have at most 6 members: few requests fit every worker, many find a window that few would miss.
_SIZES = (20, 2, 10, 6, 16, 4)
# A variant beside `identical` asks about another path through the same handler; 59 clean bursts bound it at 5 %.
_WANTED_VARIANT_BURSTS = 59
# There may be one burst only: many enough to find a window, few enough to fit the workers of most services.
_CAPTURED_SIZE, _CAPTURED_HOLD_S = 10, 0.05
# Of the 38 shares of this check (checks.md, "Time").
_IDENTICAL_SHARE, _VARIANT_SHARE = 30, 4


@dataclass(frozen=True, slots=True)
class _Variant:
    """One way of repeating a message: what a plan lacks for it, a burst of it, and why a service does not care."""

    name: str
    wanted: int
    share: float
    missing: Callable[[Plan], str]
    compose: Callable[[Context, int], Members]
    unused: Callable[[Context], str] = lambda _: ""


def _identical(context: Context, size: int) -> Members:
    shot = context.session.shot(context.stage.draft(context.stage.scene(need=ROOM)))
    return Members((shot,) * size, allowed=1)


def _resigned(context: Context, size: int) -> Members:
    """Every variable kept, timestamp and signature new; the nonce new as well, unless it is the identity.

    The copies lie a second apart, the grain of most timestamps, and well within what the service tolerates.
    """
    scene = context.stage.scene(need=ROOM)
    draft = context.stage.draft(scene)
    drafts = [draft] * size
    if "nonce" in context.plan.used and "nonce" not in context.plan.identity:
        drafts = [draft.with_values(nonce=context.stage.draft(scene).values["nonce"]) for _ in range(size)]
    now = time.time()
    instants = max(2, int(context.plan.scheme.tolerance_past_s / 2))
    shots = [context.session.shot(copy, at=now - place % instants) for place, copy in enumerate(drafts)]
    return Members(tuple(shots), allowed=1)


def _resigned_missing(plan: Plan) -> str:
    changes = plan.scheme.has_timestamp or plan.request.names & INSTANT_NAMES
    if changes or ("nonce" in plan.used and "nonce" not in plan.identity):
        return ""
    return "the request has no timestamp and no nonce: signed afresh, it is the same bytes"


def _same_nonce(context: Context, size: int) -> Members:
    """Another business operation each, one nonce for all."""
    scene = context.stage.scene(need=ROOM)
    first = context.stage.draft(scene)
    others = [context.stage.draft(scene).with_values(nonce=first.values["nonce"]) for _ in range(size - 1)]
    return Members(tuple(context.session.shot(draft) for draft in (first, *others)), allowed=1)


def _same_nonce_missing(plan: Plan) -> str:
    if "nonce" not in plan.used:
        return "the request has no nonce"
    held = set(plan.limits.per) if plan.limits else set()
    business = plan.used & set(plan.variables) - held - {"nonce", DELIVERY_ID}
    if not any(plan.variables[name].fresh for name in business):
        return "the nonce is the only thing that changes between two requests on one resource"
    if "nonce" not in plan.identity and _signs_nonce(plan):
        return "the nonce is signed and is not what makes two requests the same operation"
    return ""


def _same_nonce_unused(context: Context) -> str:
    """Why one nonce for two operations means nothing to this service, or "".

    Where the nonce is not what makes an operation, nobody has said that the service goes by it: it does if it turns
    away a second one with the first one's, one after the other. Raises as a trial does.
    """
    if "nonce" in context.plan.identity:
        return ""
    pair = sequential(context.session, _same_nonce(context, ROOM).shots, allowed=1)
    if pair.effects < ROOM:
        return ""
    return "the service does not go by the nonce: two operations with one, one after the other, both had their effect"


def _signs_nonce(plan: Plan) -> bool:
    """Whether the nonce stands anywhere under the signature."""
    scheme, request = plan.scheme, plan.request
    path, _, query = request.target.text.partition("?")
    places = {"body": request.body, "path": Template(path), "query": Template(query)}
    places |= {f"header:{name}": value for name, value in request.headers}
    return scheme.covers("nonce") or any(
        "nonce" in text.names and scheme.covers(component) for component, text in places.items()
    )


_VARIANTS = (
    _Variant("identical", WANTED_IDENTICAL_BURSTS, _IDENTICAL_SHARE, lambda _: "", _identical),
    _Variant("resigned", _WANTED_VARIANT_BURSTS, _VARIANT_SHARE, _resigned_missing, _resigned),
    _Variant(
        "same_nonce", _WANTED_VARIANT_BURSTS, _VARIANT_SHARE, _same_nonce_missing, _same_nonce, _same_nonce_unused
    ),
)


def _missing(plan: Plan) -> str:
    without_identity = "no fresh variable: nothing makes two requests distinct; add one to [variables]"
    return needs_state(plan) or ("" if plan.identity or plan.captured else without_identity)


def _too_many(trial: Trial, _twin: Trial) -> str:
    return "duplicate" if trial.effects > trial.allowed else ""


def _run(context: Context) -> Conclusion:
    if context.plan.captured is not None:
        return _captured(context)
    accepted = control(context.session, context.stage)
    room(context.session, context.stage)
    reasons = {variant.name: variant.missing(context.plan) for variant in _VARIANTS}
    variants = [variant for variant in _VARIANTS if not reasons[variant.name]]
    outcomes: dict[str, Outcome] = {}
    until = context.share_ends()
    for place, variant in enumerate(variants):
        now = time.monotonic()
        reasons[variant.name] = _unused(context, variant)
        if reasons[variant.name]:
            continue
        share = variant.share / sum(later.share for later in variants[place:])
        compose = partial(variant.compose, context)
        experiment = Experiment(
            variant.name,
            compose,
            _SIZES,
            least=2,
            wanted=variant.wanted,
            hit=_too_many,
            is_apart=context.stage.is_apart,
            spreads=variant is _VARIANTS[0],
        )
        outcomes[variant.name] = race(context.session, experiment, until=now + share * (until - now))
    return _concluded(context.plan, accepted, outcomes, {name: reason for name, reason in reasons.items() if reason})


def _unused(context: Context, variant: _Variant) -> str:
    """Why a variant means nothing to the service, or "": what keeps from telling is met again by its bursts."""
    with suppress(BudgetEnded, CannotTell, ServiceGone):
        return variant.unused(context)
    return ""


def _captured(context: Context) -> Conclusion:
    """All that can be asked with one message: one burst, and another for every [reset] that makes it new again."""
    bursts: list[Json] = []
    mixture: Counter[str] = Counter()
    ended = ""
    while not ended and mixture.total() < WANTED_IDENTICAL_BURSTS and time.monotonic() < context.until:
        try:
            if mixture:
                context.stage.reset()
            trial = _captured_burst(context)
        except BudgetEnded as over:
            if not mixture:
                raise
            ended = str(over)
            break
        bursts.append(trial.facts() | ({"void": trial.void} if trial.void else {}))
        if trial.effects > 1:
            confirm(context.session, [_spare(context)], trial)
            facts: dict[str, Json] = {"captured": True, "bursts": bursts}
            summary = _hit_summary("captured", trial, Outcome())
            return Conclusion(
                Verdict.VIOLATED,
                Evidence(summary, facts, trial.history),
                severity=Severity.HIGH,
                effects=trial.effects,
                allowed_effects=1,
                remedy=_REMEDY,
            )
        if trial.effects == 1:
            context.session.captured_is_spent = True
        if trial.void or trial.effects == 0:
            ended = trial.void or f"the message had no effect after {mixture.total()} bursts: it is remembered"
        else:
            assert trial.delivery is not None, "it was concurrent"
            mixture[f"{trial.delivery.style} n={trial.members}"] += 1
            ended = "" if context.plan.reset else "there is one message, and no [reset] makes it new again"
    if not mixture:
        raise CannotTell(f"{ended}; wanted a message that was captured before it was delivered, and is not too old")
    clean = mixture.total()
    bound = Bound(clean, "bursts", upper_limit=upper_limit(clean), detail=ended, mixture=dict(mixture))
    evidence = Evidence(str(bound), {"captured": True, "bursts": bursts})
    return Conclusion(Verdict.NOT_OBSERVED, evidence, allowed_effects=1, bound=bound)


def _captured_burst(context: Context) -> Trial:
    """The captured message ten times at once."""
    shot = context.session.shot(_spare(context))
    return concurrent(context.session, (shot,) * _CAPTURED_SIZE, 1, hold_s=_CAPTURED_HOLD_S)


def _spare(context: Context) -> Draft:
    return context.stage.draft(context.stage.scene())


def _concluded(plan: Plan, accepted: Trial, outcomes: Mapping[str, Outcome], skipped: Mapping[str, str]) -> Conclusion:
    verdicts = {name: outcome.verdict for name, outcome in outcomes.items()}
    verdict = worst(verdicts)
    decisive = next(name for name, found in verdicts.items() if found is verdict)
    outcome = outcomes[decisive]
    facts: dict[str, Json] = {
        "control": accepted.facts(),
        "variants": {name: found.facts() for name, found in outcomes.items()}
        | {name: {"verdict": str(Verdict.NOT_APPLICABLE), "reason": reason} for name, reason in skipped.items()},
    }
    if outcome.hit is None:
        summary = _clean_summary(outcomes) if verdict is Verdict.NOT_OBSERVED else f"{decisive}: {outcome.reason()}"
        return Conclusion(verdict, Evidence(summary, facts), allowed_effects=1, bound=outcome.bound())
    facts["also_sequential"] = outcome.also_sequential
    facts |= _fit(plan, outcome.hit)
    return Conclusion(
        verdict,
        Evidence(_hit_summary(decisive, outcome.hit, outcome), facts, outcome.hit.history),
        severity=Severity.HIGH,
        effects=outcome.hit.effects,
        allowed_effects=1,
        remedy=_SEQUENTIAL_REMEDY if outcome.also_sequential else _REMEDY,
    )


def _fit(plan: Plan, hit: Trial) -> dict[str, Json]:
    """Whether the burst, as it was recorded, is what something that applies a message once could have done."""
    if hit.history is None:
        return {}
    calls = once_only(hit.history, plan.is_success, settle_us=plan.settle_s * 1e6)
    return {"linearizable": {"model": "once-only set", "fits": is_linearizable(calls, 0, hit.effects)}}


def _hit_summary(variant: str, hit: Trial, outcome: Outcome) -> str:
    before, after = hit.state
    answered = ", ".join(f"{count} x {status}" for status, count in hit.statuses.items())
    twin = "" if outcome.twin is None else f"One after the other, the same requests had {outcome.twin.effects}. "
    how = "at once" if hit.history is not None else "one after the other"
    return (
        f"{hit.members} {variant} requests {how} had {hit.effects} effects; 1 is allowed ({before}; then {after}). "
        f"{twin}Answers: {answered}. {outcome.came_back()}"
    )


def _clean_summary(outcomes: Mapping[str, Outcome]) -> str:
    return "; ".join(f"{name}: {outcome.bound()}" for name, outcome in outcomes.items())


_REMEDY = (
    "The check and the write are two steps, and another copy of the message fits between them. Claim the message, make "
    "the handler's writes and store the answer in one commit."
)
_SEQUENTIAL_REMEDY = (
    "Nothing remembers the message: even one after the other, copies of it take effect. Claim the message, make the "
    "handler's writes and store the answer in one commit."
)

CHECK = Check(
    id="concurrent-duplicate",
    title="The same signed request many times at once: more than one effect?",
    cwe=(362, 367),
    owasp="API6:2023 Unrestricted Access to Sensitive Business Flows",
    share=38,
    cost=Cost(requests=75, settles=8),
    missing=_missing,
    run=_run,
    bounds_bursts=True,
    takes_captured=True,
)
