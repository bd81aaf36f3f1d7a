"""What a scan would send, in words. PURE.

Rule: values are shown as the plan writes them, so there is no secret and no signature to hide.
"""

from collections.abc import Iterator, Sequence
from textwrap import fill

from tocsin.scan._check import Options
from tocsin.scan._plan import Plan, RequestTemplate, Source

_COLUMNS = 80


def describe(plan: Plan, options: Options) -> str:
    """What would be sent, where, how often at most, and what each check would need."""
    return "\n".join(_lines(plan, options))


def _lines(plan: Plan, options: Options) -> Iterator[str]:
    yield f"Would scan {plan.base_url}, by {plan.source}"
    yield ""
    if plan.captured is not None:
        yield "Sent as it was captured"
        yield from _request(plan.request)
    else:
        yield "Sent, signed anew each time"
        yield from _request(plan.request)
        yield f"    signature: {plan.scheme.name}"
        yield f"    one operation is one value of: {', '.join(plan.identity) or 'nothing (no fresh variable)'}"
    for title, sources in _sections(plan):
        if sources:
            yield title
        for source in sources:
            yield from _request(source) if isinstance(source, RequestTemplate) else [f"  {source}"]
    yield ""
    yield "Checks"
    for check in options.checks:
        missing = options.missing(check, plan)
        said = f"{check.id}: {f'NOT_APPLICABLE, {missing}' if missing else check.title}"
        yield fill(said, _COLUMNS, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    budget = plan.budget
    yield ""
    yield f"At most {budget.requests} requests, {budget.effects} effects and {budget.seconds:g} s"
    yield from (fill(f"Note: {note}", _COLUMNS, break_on_hyphens=False) for note in plan.notes)
    yield "Nothing was sent."


def _sections(plan: Plan) -> Iterator[tuple[str, Sequence[Source]]]:
    yield "Before each trial", [setup.request for setup in plan.setup]
    yield "Read, before and after each trial", [state.source for state in plan.state]
    yield "Raced with it", [mixed.request for mixed in plan.mix]
    yield "Read while requests are in flight", [invariant.request for invariant in plan.invariants]
    yield "Read for the number of the applied message", [plan.sequence.applied.source] if plan.sequence else []
    yield "Other routes that accept the same key", [also.request for also in plan.also]
    yield "Read, before and after a trial of those", [state.source for also in plan.also for state in also.state]
    yield "At the end, for each trial", plan.teardown
    yield "To bring the state back", [plan.reset] if plan.reset else []


def _request(request: RequestTemplate) -> Iterator[str]:
    yield f"  {request}{' (signed)' if request.sign else ''}"
    for name, value in request.headers:
        yield f"    {name}: {value.text}"
    if request.body.text:
        yield f"    {request.body.text}"
