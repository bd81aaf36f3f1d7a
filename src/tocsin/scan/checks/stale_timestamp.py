"""How old, and how far in the future, may a timestamp be?"""

import time
from dataclasses import dataclass

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell
from tocsin.scan._instants import unix_of
from tocsin.scan._plan import Plan
from tocsin.scan._probes import Make, Probed, alone, together
from tocsin.wire import Response

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
# checks.md: 15 minutes is three times the tolerance that most schemes publish, 3 days is how long webhooks are retried.
_SHIFTS_S = (15 * _MINUTE_S, _HOUR_S, 3 * _DAY_S)
# Tolerances are minutes; the instants of two machines are not known to better than a second or two.
_RESOLUTION_S = 2.0
# `Date` counts whole seconds and stands in an answer that took time to come: less than this is no difference of clocks.
_CLOCK_NOISE_S = 2.0
# 1970 to 2106: what every form of timestamp can hold, three days to both sides included. Any other `Date` is nonsense.
_FIRST_INSTANT, _LAST_INSTANT = 4 * _DAY_S, 2**32


@dataclass(slots=True)
class _Boundary:
    """How far from now timestamps were accepted, and from where on refused (None: at none tried), in seconds."""

    direction: str
    accepted_s: float
    refused_s: float | None

    def facts(self) -> dict[str, Json]:
        return {
            "accepted_s": round(self.accepted_s),
            "refused_s": None if self.refused_s is None else round(self.refused_s),
        }

    def __str__(self) -> str:
        if self.refused_s is None:
            return f"{self.direction}, even {_said(self.accepted_s)} are accepted"
        return f"{self.direction}, {_said(self.accepted_s)} are accepted and {_said(self.refused_s)} refused"


def _missing(plan: Plan) -> str:
    without = f"the scheme {plan.scheme.name} sends no timestamp: nothing in a message says how old it is"
    return needs_state(plan) or ("" if plan.scheme.has_timestamp else without)


def _run(context: Context) -> Conclusion:
    clock_offset_s = _clock_offset(context)
    shifts = [sign * shift for shift in _SHIFTS_S for sign in (-1, 1)]
    makes = {_named(shift): _dated(context, clock_offset_s + shift) for shift in shifts}
    probes = together(context, makes, honest=_dated(context, clock_offset_s))
    accepted = [shift for shift in shifts if probes[_named(shift)].accepted]
    boundaries, cut_short = _boundaries(context, clock_offset_s, accepted)
    facts: dict[str, Json] = {
        "clock_offset_s": round(clock_offset_s),
        "probes": {name: probed.word for name, probed in probes.items()},
        "statuses": {name: probed.answer for name, probed in probes.items()},
        "boundary": {boundary.direction: boundary.facts() for boundary in boundaries},
    }
    if cut_short:
        facts["cut_short"] = cut_short
    said = "; ".join(map(str, boundaries))
    if accepted:
        return _violated(context, accepted, said, facts, probes)
    bound = Bound(len(probes), "timestamps", detail="; ".join(filter(None, (said, cut_short))))
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), allowed_effects=0, bound=bound)


def _violated(
    context: Context, accepted: list[int], said: str, facts: dict[str, Json], probes: dict[str, Probed]
) -> Conclusion:
    context.session.idle([context.stage.draft(context.stage.scene())])
    names = ", ".join(_named(shift) for shift in accepted)
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(f"Correctly signed requests were accepted although their timestamps were {names}; {said}.", facts),
        # An hour is longer than replay memories are commonly kept: beyond it a captured message works again.
        severity=Severity.MEDIUM if max(map(abs, accepted)) >= _HOUR_S else Severity.LOW,
        effects=sum(probes[_named(shift)].effects for shift in accepted),
        allowed_effects=0,
        remedy=_REMEDY,
        guard_helps=context.plan.scheme.covers("timestamp"),
    )


def _boundaries(context: Context, clock_offset_s: float, accepted: list[int]) -> tuple[list[_Boundary], str]:
    """Where each direction turns from accepted to refused, as closely as time allows, and what cut the search short."""
    boundaries = []
    for direction, sign in (("back", -1), ("ahead", 1)):
        taken = [abs(shift) for shift in accepted if shift * sign > 0]
        left = [shift for shift in _SHIFTS_S if shift > max(taken, default=0)]
        boundaries.append(_Boundary(direction, max(taken, default=0), min(left, default=None)))
    try:
        for boundary, sign in zip(boundaries, (-1, 1), strict=True):
            _bisect(context, clock_offset_s, boundary, sign)
    except (BudgetEnded, CannotTell) as ended:
        return boundaries, str(ended)
    over = time.monotonic() > context.until
    return boundaries, "its share of the time ended before the boundary was found closer" if over else ""


def _bisect(context: Context, clock_offset_s: float, boundary: _Boundary, sign: int) -> None:
    while boundary.refused_s is not None and boundary.refused_s - boundary.accepted_s > _RESOLUTION_S:
        if time.monotonic() > context.until:
            return
        middle_s = (boundary.accepted_s + boundary.refused_s) / 2
        honest = _dated(context, clock_offset_s)
        if alone(context, _dated(context, clock_offset_s + sign * middle_s), honest=honest).accepted:
            boundary.accepted_s = middle_s
        else:
            boundary.refused_s = middle_s


def _dated(context: Context, shift_s: float) -> Make:
    """The plan's request, signed at another instant than now; every {{timestamp}} in it moves along."""

    def make(draft: Draft) -> Shot:
        return context.session.shot(draft, at=time.time() + shift_s)

    return make


def _clock_offset(context: Context) -> float:
    """How far the service's clock is ahead of ours, in seconds.

    The `Date` of its answer to a read says so, unless a cache or a proxy with a clock of its own wrote it: a request
    that is signed at that time has to be accepted, or one that is signed at ours.

    Raises:
        CannotTell: neither is accepted.
    """
    draft = context.stage.draft(context.stage.scene())
    sent = time.time()
    read = next((state.request for state in context.plan.state if state.request), None)
    dated = None if read is None else _date(context.session.ask(read, draft))
    offset_s = 0.0 if dated is None else dated - (sent + time.time()) / 2
    if abs(offset_s) < _CLOCK_NOISE_S:
        offset_s = 0.0
    if alone(context, _dated(context, offset_s), honest=_dated(context, 0)).accepted:
        return offset_s
    if offset_s:
        return 0.0
    raise CannotTell("one valid request was refused, and the next one accepted: nothing is sure")


def _date(response: Response) -> float | None:
    """The instant in an answer's Date (RFC 9110 section 6.6.1), in Unix seconds, None if there is none to be read."""
    for value in response.values("Date"):
        named = unix_of(value)
        # Half a second on average has passed since the second that it names began.
        return named + 0.5 if named is not None and _FIRST_INSTANT < named < _LAST_INSTANT else None
    return None


def _named(shift: int) -> str:
    return f"{_said(abs(shift))} {'back' if shift < 0 else 'ahead'}"


def _said(seconds: float) -> str:
    """Seconds in the largest unit that they fill exactly."""
    for unit_s, unit in ((_DAY_S, "days"), (_HOUR_S, "hours"), (_MINUTE_S, "minutes")):
        if seconds and seconds % unit_s == 0:
            count = seconds / unit_s
            return f"{count:g} {unit if count > 1 else unit.removesuffix('s')}"
    return f"{seconds:.0f} seconds"


_REMEDY = (
    "Refuse a signed timestamp that is more than a few minutes from now in either direction, and remember messages for "
    "at least as long: otherwise a captured message works again once it has been forgotten."
)

CHECK = Check(
    id="stale-timestamp",
    title="How old, and how far in the future, may a timestamp be?",
    cwe=(294, 613),
    owasp="API2:2023 Broken Authentication",
    share=2,
    cost=Cost(requests=36, settles=8),
    missing=_missing,
    run=_run,
)
