"""Does a reader see a state during the traffic that no order of the requests can give?"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from decimal import Decimal

from tocsin.findings import Evidence, Json, Severity, Verdict
from tocsin.history import History
from tocsin.scan._bursts import LEAST_MEMBERS, Seen, delivered, distinct, size_of, too_few_answered, until_hit
from tocsin.scan._check import Check, Conclusion, Context, Cost
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._number import difference, total
from tocsin.scan._plan import Invariant, Plan, State
from tocsin.scan._readers import Look, Observation, observe, reading
from tocsin.scan._trials import control
from tocsin.scan.oracles import read_endpoint
from tocsin.wire import Delivery

# checks.md: below 200 overlapping reads nothing is said.
_WANTED_OVERLAPPING = 200
_WANTED_BURSTS = 30
_SEQUENTIAL = 40
_SIZES = (10, 2, 6, 16, 4, 2)


def _missing(plan: Plan) -> str:
    without = "no fresh variable: requests in flight at once must be distinct; add one to [variables]"
    if not plan.invariants:
        return "no [[invariant]]: say what every reader must see at every moment"
    return "" if plan.identity else without


def _run(context: Context) -> Conclusion:
    facts: dict[str, Json] = {}
    if context.plan.state:
        facts["control"] = control(context.session, context.stage).facts()
    reads = _Reads(context)
    reads.at_rest()
    broken = reads.through_sequential_traffic()
    facts["sequential_reads"] = reads.facts()
    if broken:
        return _violated(f"While {_SEQUENTIAL} requests were sent one after the other, {broken}.", facts, reads, None)
    tally = until_hit(context, reads.through_a_burst, wanted=_WANTED_BURSTS, enough=reads.are_enough)
    facts |= {"reads": reads.facts(), **tally.facts()}
    if tally.hit is not None:
        summary = f"While {tally.hit.size} requests were in flight at once, {tally.hit.hit}."
        return _violated(f"{summary} It came back {tally.came_back}.", facts, reads, tally.hit.history)
    if not reads.are_enough():
        reason = tally.cut_short or "no burst was valid"
        said = f"{reads.overlapping} reads overlapped a request in flight; wanted {_WANTED_OVERLAPPING}: {reason}"
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(said, facts))
    bound = tally.bound(f"{reads.overlapping} reads overlapped a request in flight")
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)


class _Reads:
    """All observations so far."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bursts = 0
        self._last: list[Look] = []
        self.made = self.overlapping = self.unreadable = 0

    def are_enough(self) -> bool:
        """Whether a verdict may be made of them."""
        return self.overlapping >= _WANTED_OVERLAPPING

    def facts(self) -> dict[str, Json]:
        """As a report shows them."""
        return {"made": self.made, "overlapping": self.overlapping, "unreadable": self.unreadable}

    def at_rest(self) -> None:
        """While nothing is sent every invariant holds, or CannotTell: then it is none, or its numbers are wrong."""
        for look in self._looks([self._context.stage.draft(self._context.stage.scene())]):
            seen = observe(self._context.session, look)
            if _sum(seen) is None:
                answered = "not" if seen.response is None else str(seen.response.status)
                raise CannotTell(f"[[invariant]] {look[0].request} was answered {answered}: wanted 2xx with numbers")
            if _breaks(seen):
                raise CannotTell(f"while nothing was sent, {_told(seen)}")

    def through_sequential_traffic(self) -> str:
        """What a reader saw while requests came one after the other, if that breaks an invariant."""
        session = self._context.session
        sent = 0
        while sent < _SEQUENTIAL:
            shots = self._compose(_SEQUENTIAL - sent)
            intervals = []
            with reading(session, self._looks([shot.draft for shot in shots])) as seen:
                for shot in shots:
                    begun = time.monotonic_ns()
                    session.send(shot)
                    intervals.append((begun, time.monotonic_ns()))
            session.assume(len(shots))
            session.settle()
            broken = self._judged(seen, intervals)
            if broken:
                return broken
            sent += len(shots)
        return ""

    def through_a_burst(self, gentle: int) -> Seen:
        """One burst with readers around it."""
        session = self._context.session
        shots = self._compose(size_of(_SIZES[self._bursts % len(_SIZES)], gentle))
        with reading(session, self._looks([shot.draft for shot in shots])) as seen:
            delivery = delivered(self._context, shots, gentle, in_every_style=True)
            session.settle()
        hit = self._judged(seen, _in_flight(delivery))
        void = "" if hit else delivery.void or too_few_answered(delivery)
        if not void and not hit and not any(self._context.plan.is_success(_status) for _status in _statuses(delivery)):
            void = "no member was accepted"
        self._bursts += not void
        session.collected(delivery, None, void)
        return Seen(len(shots), delivery.style, delivery.history, hit, void)

    def _compose(self, size: int) -> tuple[Shot, ...]:
        """Distinct requests on one scene, as many as it admits: what readers look at is what is written to."""
        scene = self._context.stage.scene(need=size)
        room = size if scene.capacity is None else min(size, scene.capacity)
        if room < LEAST_MEMBERS:
            return distinct(self._context, size)
        return tuple(self._context.session.shot(draft) for draft in self._context.stage.drafts(scene, room))

    def _looks(self, drafts: Sequence[Draft]) -> list[Look]:
        """Every invariant, for each resource of these drafts that it is about."""
        looks: dict[object, Look] = {}
        for invariant in self._context.plan.invariants:
            for draft in drafts:
                values = tuple(draft.values.get(name) for name in sorted(invariant.request.names))
                looks.setdefault((invariant, values), (invariant, draft))
        self._last = list(looks.values())
        return self._last

    def _judged(self, seen: Sequence[Observation], intervals: Sequence[tuple[int, int]]) -> str:
        self.made += len(seen)
        self.unreadable += sum(_sum(one) is None for one in seen)
        self.overlapping += sum(_sum(one) is not None and one.overlaps(intervals) for one in seen)
        broken = [one for one in seen if _breaks(one)]
        return f"{len(broken)} of {len(seen)} reads broke an invariant; the first: {_told(broken[0])}" if broken else ""

    def lasts(self) -> bool:
        """Whether an invariant that readers looked at last is broken still, now that nothing is in flight."""
        return any(_breaks(observe(self._context.session, look)) for look in self._last)


def _in_flight(delivery: Delivery) -> list[tuple[int, int]]:
    """From when to when each member was in flight; one without an answer until now."""
    gate_ns = delivery.gate_opened_ns
    if gate_ns is None:
        return []
    now_ns = time.monotonic_ns()
    return [
        (
            gate_ns + 1000 * operation.called_at_us,
            now_ns if operation.returned_at_us is None else gate_ns + 1000 * operation.returned_at_us,
        )
        for operation in delivery.history
    ]


def _statuses(delivery: Delivery) -> Iterable[int]:
    return (response.status for response in delivery.responses if response is not None)


def _sum(seen: Observation) -> Decimal | None:
    """The sum that a reader saw, None if the answer shows none."""
    if seen.response is None:
        return None
    try:
        numbers = [read_endpoint(_at(seen.invariant, pointer), seen.response) for pointer in seen.invariant.sum_of]
    except CannotTell:
        return None
    return total(numbers)


def _at(invariant: Invariant, pointer: str) -> State:
    """One of the numbers of an invariant, as an oracle reads it."""
    return State(
        name=str(invariant.request),
        source=invariant.request,
        pointer=pointer,
        count=False,
        absent=None,
        per_effect=Decimal(1),
        settle_ms=0,
    )


def _breaks(seen: Observation) -> bool:
    found = _sum(seen)
    return found is not None and difference(found, seen.invariant.equals) != 0


def _told(seen: Observation) -> str:
    invariant = seen.invariant
    return (
        f"{invariant.request} showed {' + '.join(invariant.sum_of)} = {_sum(seen):f}, and it is "
        f"{invariant.equals:f} at every moment"
    )


def _violated(summary: str, facts: dict[str, Json], reads: _Reads, history: History | None) -> Conclusion:
    lasts, after = False, "Whether it held again after all answers, nobody could see."
    # One broken observation is proof, whatever becomes of the service now.
    with suppress(BudgetEnded, CannotTell, ServiceGone):
        lasts = reads.lasts()
        after = "It is broken still after all answers have come." if lasts else "After all answers it held again."
    facts |= {"also_sequential": history is None, "lasts": lasts}
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(f"{summary} {after}", facts, history),
        severity=Severity.HIGH if lasts else Severity.MEDIUM,
        remedy=_REMEDY,
    )


_REMEDY = (
    "Make all writes of one request in one transaction, and let readers read a snapshot: what a reader sees between "
    "two commits was never true."
)

CHECK = Check(
    id="intermediate-state",
    title="Does a reader see a state during the traffic that no order of the requests can give?",
    cwe=(362, 662),
    owasp="API6:2023 Unrestricted Access to Sensitive Business Flows",
    share=6,
    cost=Cost(requests=400, settles=12),
    missing=_missing,
    run=_run,
    bounds_bursts=True,
)
