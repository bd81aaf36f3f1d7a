"""Distinct valid requests at once: more effects than the limit?"""

import time
from dataclasses import replace

from tocsin.findings import Evidence, Json, Severity, Verdict
from tocsin.scan._bursts import Tally
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._errors import BudgetEnded, CannotTell
from tocsin.scan._linear import counter_with_floor, is_linearizable
from tocsin.scan._mixed import raced
from tocsin.scan._outcome import Outcome
from tocsin.scan._plan import Plan
from tocsin.scan._race import Experiment, Members, race
from tocsin.scan._stage import Scene
from tocsin.scan._trial import Trial
from tocsin.scan._trials import control, sequential
from tocsin.scan.oracles import AnswerClasses

# How many requests more than the resource admits.
_OVER = (15, 1, 10, 1, 5, 1)
# What is left of the resource when most bursts come. A larger limit is first used up one request after the other: the
# last few are what a race is about, and a burst much larger than a server's threads overlaps no better.
_LEFT = 5
# 59 clean bursts bound the probability per burst at 5 %.
_WANTED_BURSTS = 59
_MOST_USED_UP_FIRST = 200
# Up to this capacity every other burst goes to an untouched resource, all of it at once: what is made with the first
# request, a lock or a row, is a race of its own. More requests fit into no service's threads.
_MOST_AT_ONCE = 20
# Where there are [[mix]] requests, so much of the time is still for the operation against itself.
_SHARE_BESIDE_MIXED = 0.6


def _missing(plan: Plan) -> str:
    if plan.limits is None and not plan.mix:
        return 'no [limits]: add how many effects one resource admits (effects = 5, per = ["item"])'
    return needs_state(plan)


class _Allocations:
    """Bursts of more distinct requests than the resource admits, in turn with at most _LEFT left and untouched."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._made = 0
        self._as_hit: bool | None = None
        self.used_up = 0

    def compose(self, over: int) -> Members:
        """The members of one burst. Raises CannotTell if there is no such resource."""
        context = self._context
        scene = context.stage.scene(need=_need(context.plan))
        capacity = scene.capacity if scene.capacity is not None else _above_floor(context, scene)
        # Two and two: sizes are large and small in turn. What has hit is repeated as it was.
        is_untouched = self._made // 2 % 2 == 1 if self._as_hit is None else self._as_hit
        self._made += 1
        left = capacity if is_untouched and capacity <= _MOST_AT_ONCE else _left(context, scene, capacity)
        self.used_up = max(self.used_up, capacity - left if capacity > _MOST_AT_ONCE else 0)
        shots = [context.session.shot(draft) for draft in context.stage.drafts(scene, left + over)]
        return Members(tuple(shots), allowed=left)

    def judge(self, trial: Trial, twin: Trial) -> str:
        """What is wrong with a burst, or ""."""
        what = _judge(self._context.plan, trial, twin)
        if what and self._as_hit is None:
            self._as_hit = trial.allowed > _LEFT
        return what


def _need(plan: Plan) -> int:
    limits = plan.limits
    return limits.effects if limits and limits.effects is not None else 1


def _left(context: Context, scene: Scene, capacity: int) -> int:
    """How many effects the resource admits still, after using up what is more than _LEFT."""
    if capacity - _LEFT > _MOST_USED_UP_FIRST:
        raise CannotTell(
            f"the resource admits {capacity} effects: wanted at most {_MOST_USED_UP_FIRST + _LEFT}, "
            "for all but the last few are used up first; let [[setup]] make a smaller one"
        )
    surplus = max(0, capacity - _LEFT)
    if surplus:
        shots = [context.session.shot(context.stage.draft(scene)) for _ in range(surplus)]
        used = sequential(context.session, shots, surplus)
        if used.effects != surplus:
            raise CannotTell(
                f"{surplus} valid requests one after the other had {used.effects} effects: wanted {surplus}"
            )
    return capacity - surplus


def _above_floor(context: Context, scene: Scene) -> int:
    """The capacity that a floor implies: how many effects the state is above it."""
    limits = context.plan.limits
    assert limits is not None, "_missing asks for [limits]"
    assert limits.floor is not None, "a plan's [limits] has effects or floor"
    reading = context.session.read([context.stage.draft(scene)])
    capacity = reading.effects_above(limits.floor)
    if capacity is None:
        raise CannotTell(f"[limits] floor = {limits.floor}, and no [[state]] goes down: wanted a negative per_effect")
    if capacity < 1:
        raise CannotTell(
            f"{reading}, and [limits] floor = {limits.floor}: nothing is left to allocate; "
            "give a [[setup]] that makes a new resource, or a [reset]"
        )
    return capacity


def _accepted(plan: Plan, trial: Trial, twin: Trial) -> int:
    """How many members were answered as the twin's requests are that took effect.

    A success that looks otherwise, as a 202 that says "busy" or "queued" does, has promised nothing yet.
    """
    in_turn, at_once = (
        [response for response in of.responses if response is not None and plan.is_success(response.status)]
        for of in (twin, trial)
    )
    return AnswerClasses().alike(in_turn, at_once) if in_turn else 0


def _judge(plan: Plan, trial: Trial, twin: Trial) -> str:
    if trial.effects > trial.allowed:
        return "over_allocation"
    if trial.below_floor:
        return "below_floor"
    # A message that is older than the applied one is rightly answered 200 and ignored.
    if plan.sequence is not None or twin.effects != twin.successes:
        return ""
    # More than the resource admits may be told "yes" too, and be turned away later: a queue answers before it looks.
    return "lost_update" if trial.effects < min(_accepted(plan, trial, twin), trial.allowed) else ""


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    if context.plan.limits is None:
        return _mixed(context, Conclusion(Verdict.NOT_APPLICABLE, Evidence("", {"control": accepted.facts()})))
    now = time.monotonic()
    share = _SHARE_BESIDE_MIXED if context.plan.mix else 1.0
    return _mixed(context, _distinct(context, accepted, until=now + share * max(0.0, context.until - now)))


def _distinct(context: Context, accepted: Trial, *, until: float) -> Conclusion:
    """The operation against itself."""
    of = _Allocations(context)
    apart = context.stage.is_apart
    experiment = Experiment("distinct", of.compose, _OVER, least=1, wanted=_WANTED_BURSTS, hit=of.judge, is_apart=apart)
    outcome = race(context.session, experiment, until=until)
    bound = outcome.bound()
    if bound is not None and of.used_up:
        said = f"each after {of.used_up} of the resource were used up one after the other"
        bound = replace(bound, detail="; ".join(filter(None, (said, bound.detail))))
    facts: dict[str, Json] = {"control": accepted.facts(), **outcome.facts()}
    allowed = outcome.twin.allowed if outcome.twin else None
    if outcome.hit is None:
        summary = outcome.reason() if bound is None else str(bound)
        return Conclusion(outcome.verdict, Evidence(summary, facts), allowed_effects=allowed, bound=bound)
    facts |= _fit(context.plan, outcome.hit)
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(_summary(context.plan, outcome.hit, outcome), facts, outcome.hit.history),
        severity=Severity.HIGH,
        effects=outcome.hit.effects,
        allowed_effects=outcome.hit.allowed,
        remedy=_SEQUENTIAL_REMEDY if outcome.also_sequential else _REMEDY,
    )


def _mixed(context: Context, alone: Conclusion) -> Conclusion:
    """The operation against every [[mix]]; the verdict is the worst of all."""
    if alone.verdict is Verdict.VIOLATED or not context.plan.mix:
        return alone
    told: dict[str, Json] = {}
    facts = {**alone.evidence.facts, "mixed": told}
    tally = Tally()
    try:
        for name, (race_of, tally) in raced(context).items():
            told[name] = race_of.facts() | tally.facts()
            if tally.hit is not None:
                summary = f"{context.plan.request} and {name} at once: {tally.hit.hit}. It came back {tally.came_back}."
                evidence = Evidence(summary, facts, tally.hit.history)
                return Conclusion(Verdict.VIOLATED, evidence, severity=Severity.HIGH, remedy=_MIXED_REMEDY)
        bound = tally.bound(f"against {name}")
    except (BudgetEnded, CannotTell) as reason:
        if alone.verdict is Verdict.NOT_APPLICABLE:
            raise
        said = f"{alone.evidence.summary}; mixed: {reason}"
        return replace(alone, verdict=Verdict.INCONCLUSIVE, bound=None, evidence=Evidence(said, facts))
    if alone.verdict is Verdict.NOT_APPLICABLE:
        return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)
    said = f"{alone.evidence.summary}; mixed: {bound}"
    return replace(alone, evidence=replace(alone.evidence, summary=said, facts=facts))


def _fit(plan: Plan, hit: Trial) -> dict[str, Json]:
    """Whether the burst, as it was recorded, is what a counter that knows its floor could have done."""
    if hit.history is None:
        return {}
    calls = counter_with_floor(hit.history, plan.is_success, settle_us=plan.settle_s * 1e6, capacity=hit.allowed)
    return {"linearizable": {"model": "counter with floor", "fits": is_linearizable(calls, 0, hit.effects)}}


def _summary(plan: Plan, hit: Trial, outcome: Outcome) -> str:
    before, after = hit.state
    twin = "" if outcome.twin is None else f"One after the other, as many requests had {outcome.twin.effects}. "
    how = "at once" if hit.history is not None else "one after the other"
    found = f"{hit.members} distinct requests {how} had {hit.effects} effects; {hit.allowed} are allowed"
    if outcome.what == "lost_update" and outcome.twin is not None:
        answered = _accepted(plan, hit, outcome.twin)
        found = (
            f"{hit.members} distinct requests at once: {answered} were answered as accepted ones are, {hit.effects} "
            "took effect"
        )
    if outcome.what == "below_floor":
        found += ", and left the state below its floor"
    return f"{found} ({before}; then {after}). {twin}{outcome.came_back()}"


_REMEDY = (
    "The limit is checked against a state that another request is about to change. Let the database decide, in one "
    "statement that checks and takes (UPDATE ... SET stock = stock - 1 WHERE id = ? AND stock > 0), within the "
    "transaction that holds the claim."
)
_SEQUENTIAL_REMEDY = (
    "Nothing enforces the limit, even one request after the other. Let the database do it, in one statement that "
    "checks and takes (UPDATE ... SET stock = stock - 1 WHERE id = ? AND stock > 0), within the transaction that holds "
    "the claim."
)

_MIXED_REMEDY = (
    "Both requests look at a state that the other is about to change. Let both take the same row first (SELECT ... FOR "
    "UPDATE, or one conditional UPDATE each), inside one transaction, so that one of them sees what the other has done."
)

CHECK = Check(
    id="over-allocation",
    title="Distinct valid requests at once: more effects than the limit?",
    cwe=(362, 367),
    owasp="API6:2023 Unrestricted Access to Sensitive Business Flows",
    share=20,
    cost=Cost(requests=50, settles=4),
    missing=_missing,
    run=_run,
    bounds_bursts=True,
)
