"""What a scan would send, in words. PURE.

Rule: values are shown as the plan writes them, so there is no secret and no signature to hide.
"""

from collections.abc import Iterator, Sequence

from tocsin.scan._check import Check
from tocsin.scan._plan import Plan, RequestTemplate


def describe(plan: Plan, checks: Sequence[Check]) -> str:
    """What would be sent, where, how often at most, and what each check would need."""
    return "\n".join(_lines(plan, checks))


def _lines(plan: Plan, checks: Sequence[Check]) -> Iterator[str]:
    yield f"Would scan {plan.base_url}, by {plan.source}"
    yield ""
    yield "Sent, signed anew each time"
    yield from _request(plan.request)
    yield f"    signature: {plan.scheme.name}"
    yield f"    one operation is one value of: {', '.join(plan.identity) or 'nothing (no fresh variable)'}"
    for title, requests in (
        ("Before each trial", [setup.request for setup in plan.setup]),
        ("Read, before and after each trial", [state.request for state in plan.state]),
        ("Other routes that accept the same key", [also.request for also in plan.also]),
        ("Read, before and after a trial of those", [state.request for also in plan.also for state in also.state]),
        ("To bring the state back", [plan.reset] if plan.reset else []),
    ):
        if requests:
            yield title
        for request in requests:
            yield from _request(request)
    yield ""
    yield "Checks"
    for check in checks:
        missing = check.missing(plan)
        yield f"  {check.id}: {f'NOT_APPLICABLE, {missing}' if missing else check.title}"
    budget = plan.budget
    yield ""
    yield f"At most {budget.requests} requests, {budget.effects} effects and {budget.seconds:g} s"
    yield from (f"Note: {note}" for note in plan.notes)
    yield "Nothing was sent."


def _request(request: RequestTemplate) -> Iterator[str]:
    yield f"  {request}{' (signed)' if request.sign else ''}"
    for name, value in request.headers:
        yield f"    {name}: {value.text}"
    if request.body.text:
        yield f"    {request.body.text}"
