"""How long a scan may take: longer where effects arrive late, and it says so before it starts. PURE."""

from dataclasses import replace
from typing import Final

from tocsin.scan._plan import Plan

# From the start of the process, which a loaded machine takes seconds for; but no less than asks every question once.
_QUICK_S: Final = 8.0
_LEAST_QUICK_S: Final = 4.0
# What the usual times have room for: effects that arrive no later than this. And the longest that a scan takes unasked.
_SETTLES_WITHIN_S, _LONGEST_S = 0.25, 600.0
# A check that meets an answer it did not expect looks again, and a loaded machine sleeps longer than it is told to.
_MORE_SETTLES = 1.25


def with_time_to_settle(plan: Plan) -> Plan:
    """The plan with as many times its seconds as its effects are late."""
    if plan.settle_s <= _SETTLES_WITHIN_S:
        return plan
    seconds = min(_LONGEST_S, plan.budget.seconds * plan.settle_s / _SETTLES_WITHIN_S)
    return _announced(plan, "a scan", seconds, usual=plan.budget.seconds)


def quick(plan: Plan, *, settles: int, elapsed_s: float) -> Plan:
    """The plan for a quick scan, which takes no longer than a full one.

    Args:
        plan: for a full one.
        settles: how often the checks that are asked wait for effects; where these arrive late, the waits are added.
        elapsed_s: how much of the time is gone.
    """
    seconds = max(_LEAST_QUICK_S, round(_QUICK_S - elapsed_s, 1))
    if plan.settle_s <= _SETTLES_WITHIN_S:
        return replace(plan, budget=replace(plan.budget, seconds=min(plan.budget.seconds, seconds)))
    late_s = round(seconds + _MORE_SETTLES * settles * plan.settle_s)
    return _announced(plan, "a quick scan", min(plan.budget.seconds, late_s), usual=_QUICK_S)


def _announced(plan: Plan, what: str, seconds: float, *, usual: float) -> Plan:
    late = f"settle_ms = {plan.settle_s * 1000:g}: "
    note = f"{late}{what} takes up to {seconds:g} s in place of {usual:g}; [budget] seconds says otherwise"
    notes = tuple(one for one in plan.notes if not one.startswith(late))
    return replace(plan, budget=replace(plan.budget, seconds=seconds), notes=(*notes, note))
