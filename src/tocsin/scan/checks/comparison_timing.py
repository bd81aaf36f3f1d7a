"""Does the comparison of signatures leak how much of a forgery is right, by the order of answers?

Rule: the one hypothesis test. What is told apart is the order in which two answers to one burst come, never a duration.
Which of the two opens its connection or stream first, and which is released first, is drawn anew for each pair: servers
of HTTP/2 go by the number of a stream, or by the frame that ends it. Two equal forgeries have to come out even.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._compose import Draft, Shot
from tocsin.scan._errors import BudgetEnded, CannotTell
from tocsin.scan._forgery import forgery, with_right_beginning
from tocsin.scan._plan import Plan
from tocsin.scan._statistics import is_even
from tocsin.scan._trials import control
from tocsin.wire import Delivery

_ALPHA = 1e-6
# Looked at three times, each with a third of alpha: a leak that is plain need not be asked a thousand times.
_LOOKS = (100, 300, 1000)
# Two members are parked at once; there is nobody else to wait for.
_HOLD_S = 0.005
_VOIDS = 50
# What hashing so much more takes, tens of microseconds or more, has to show in the order, or nothing smaller can. A
# server that takes no such body before it is complete gets what fits HTTP/2's first window (RFC 9113 section 6.9.2).
_PADDING, _PADDING_WITHIN_A_WINDOW = 256 * 1024, 48 * 1024
_FIRST, _SECOND = "first of the pair", "second of the pair"


@dataclass(slots=True)
class _Pairs:
    """How often the first of a pair was answered last. A tie counts for nobody."""

    last: int = 0
    told: int = 0
    ties: int = 0
    void: int = 0

    def facts(self) -> dict[str, Json]:
        return {"first_answered_last": self.last, "pairs": self.told, "ties": self.ties, "void": self.void}

    def is_even(self) -> bool:
        return is_even(self.last, self.told, alpha=_ALPHA / len(_LOOKS))


Make = Callable[[Draft, float], Shot]


def _missing(plan: Plan) -> str:
    return needs_state(plan) or (
        "" if plan.identity else "no fresh variable: the two of a pair could not be told apart"
    )


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    timing = _Timing(context)
    facts: dict[str, Json] = {"control": accepted.facts()}
    pairs = {"equal": timing.equal, "padded": timing.padded, "prefix": timing.prefix}
    cut_short = timing.until_told()
    facts |= {name: found.facts() for name, found in pairs.items()}
    if cut_short:
        facts["cut_short"] = cut_short
    carrier = timing.carrier
    if not timing.equal.is_even():
        raise CannotTell(
            f"the answers to two equal forgeries over {carrier} come in a preferred order: nothing is told"
        )
    if not timing.prefix.is_even():
        return _violated(timing.prefix, facts)
    if timing.padded.is_even():
        said = (
            f"over {carrier}, {timing.padding // 1024} KiB more to hash did not show in the order of answers "
            f"({timing.padded.last} of {timing.padded.told}), so a comparison could not either: wanted both requests "
            "in one packet, as HTTP/2 carries them, and a quiet machine"
        )
        return Conclusion(Verdict.INCONCLUSIVE, Evidence("; ".join(filter(None, (said, cut_short))), facts))
    detail = (
        f"the order fits a coin ({timing.prefix.last} of {timing.prefix.told} at alpha {_ALPHA:g}); "
        f"{timing.padding // 1024} KiB more to hash do show, and less than that may not"
    )
    bound = Bound(timing.prefix.told, "pairs", detail="; ".join(filter(None, (detail, cut_short))))
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)


class _Timing:
    """Three kinds of pairs, in turn: equal ones, one with more to hash, one with the right beginning."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._scene = context.stage.scene()
        self.equal, self.padded, self.prefix = _Pairs(), _Pairs(), _Pairs()
        self.carrier = ""
        self.padding = _PADDING

    def until_told(self) -> str:
        """Send pairs until a look tells, or all were sent. Returns what cut that short."""
        try:
            for look in _LOOKS:
                while self.prefix.told < look:
                    if time.monotonic() > self._context.until:
                        return f"its share of the time ended after {self.prefix.told} of {_LOOKS[-1]} pairs"
                    self._one_of_each()
                    self._context.session.progressed("pairs", min(self.prefix.told, _LOOKS[-1]), _LOOKS[-1])
                if not self.prefix.is_even():
                    return ""
        except BudgetEnded as ended:
            return str(ended)
        return ""

    def _one_of_each(self) -> None:
        self._pair(self.equal, self._wrong, self._wrong)
        self._pair(self.padded, self._long, self._wrong)
        if self.padded.void and not self.padded.told:
            self.padding = _PADDING_WITHIN_A_WINDOW
        self._pair(self.prefix, self._right_beginning, self._wrong)

    def _pair(self, pairs: _Pairs, first: Make, second: Make) -> None:
        session, stage = self._context.session, self._context.stage
        at = time.time()
        shots = [
            replace(make(stage.draft(self._scene), at), label=label)
            for make, label in ((first, _FIRST), (second, _SECOND))
        ]
        session.rng.shuffle(shots)
        delivery = session.deliver(shots, hold_s=_HOLD_S)
        connections = "1 connection" if delivery.connections == 1 else f"{delivery.connections} connections"
        self.carrier = f"{delivery.protocol} on {connections}"
        self._refused(delivery)
        ranks = {shot.label: rank for shot, rank in zip(shots, delivery.order, strict=False)}
        one, other = ranks.get(_FIRST), ranks.get(_SECOND)
        if delivery.void or one is None or other is None:
            pairs.void += 1
            if pairs.void == _VOIDS:
                raise CannotTell(f"{_VOIDS} pairs were not delivered: {delivery.void or 'no answer'}")
        elif one == other:
            pairs.ties += 1
            if pairs.ties > _LOOKS[-1]:
                raise CannotTell(f"{pairs.ties} pairs of answers came at one and the same moment")
        else:
            pairs.told += 1
            pairs.last += one > other

    def _refused(self, delivery: Delivery) -> None:
        """Nothing is compared where forgeries are accepted."""
        accepted = sum(
            response is not None and self._context.plan.is_success(response.status) for response in delivery.responses
        )
        self._context.session.assume(accepted)
        if accepted:
            raise CannotTell("forgeries are accepted, which is for signature-bypass to say: nothing is compared")

    def _wrong(self, draft: Draft, at: float) -> Shot:
        return forgery(self._context.session.composer, draft, at=at)

    def _right_beginning(self, draft: Draft, at: float) -> Shot:
        return with_right_beginning(self._context.session.composer, draft, at=at)

    def _long(self, draft: Draft, at: float) -> Shot:
        return forgery(self._context.session.composer, draft, at=at, padding=self.padding)


def _violated(prefix: _Pairs, facts: dict[str, Json]) -> Conclusion:
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(
            f"Of two forgeries in one burst, the one with the right beginning was answered last in {prefix.last} of "
            f"{prefix.told} pairs; equal ones came out even (exact binomial test, alpha {_ALPHA:g}).",
            facts,
        ),
        severity=Severity.MEDIUM,
        remedy=_REMEDY,
    )


_REMEDY = (
    "Compare in constant time: hmac.compare_digest over bytes, or the framework's own; never ==, and never character "
    "by character."
)

CHECK = Check(
    id="comparison-timing",
    title="Does the comparison of signatures leak how much of a forgery is right?",
    cwe=(208,),
    owasp="API2:2023 Broken Authentication",
    share=50,
    cost=Cost(requests=20, settles=2),
    missing=_missing,
    run=_run,
    opt_in="a hypothesis test of up to 3000 bursts; ask for it with --opt-in comparison-timing",
)
