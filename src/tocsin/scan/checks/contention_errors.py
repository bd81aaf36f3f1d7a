"""Do honest requests get server errors in a burst?"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tocsin.findings import Bound, Evidence, Json, Severity, Verdict
from tocsin.history import History
from tocsin.scan._check import Check, Conclusion, Context, needs_state
from tocsin.scan._compose import Shot
from tocsin.scan._errors import BudgetEnded, CannotTell
from tocsin.scan._plan import Plan
from tocsin.scan._probes import FIRST_SERVER_ERROR
from tocsin.scan._statistics import upper_limit
from tocsin.scan._trials import LIMITED, Trial, control, sequential
from tocsin.wire import Delivery, Failure, Response

_MEMBERS = 20
# 30 clean bursts bound the probability per burst at 9.5 %: what fails less often is not what a peak of load meets.
_WANTED_BURSTS = 30
_REPEATS_OF_A_HIT = 5
_VOIDS_IN_A_ROW = 12
_HOLD_S, _LONGEST_HOLD_S = 0.03, 0.25
_LEAST_MEMBERS = 2
_ASKED_TO_RETRY = "503 with Retry-After"


@dataclass(frozen=True, slots=True)
class _Burst:
    """Honest requests at once: which errors they got, or why the burst is void."""

    size: int
    errors: Mapping[str, int]
    history: History
    void: str


@dataclass(slots=True)
class _Tally:
    """All bursts so far."""

    mixture: Counter[str] = field(default_factory=Counter)
    voids: Counter[str] = field(default_factory=Counter)
    hit: _Burst | None = None
    rate: tuple[int, int] = (0, 0)
    cut_short: str = ""

    @property
    def clean(self) -> int:
        """Valid bursts without an error."""
        return self.mixture.total()


def _missing(plan: Plan) -> str:
    without = "no fresh variable: honest requests at once must be distinct; add one to [variables]"
    return needs_state(plan) or ("" if plan.identity else without)


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage)
    shots = _compose(context, _MEMBERS)
    twin = sequential(context.session, shots, len(shots))
    tally = _Tally()
    try:
        _bursts(context, tally)
    except BudgetEnded as ended:
        tally.cut_short = str(ended)
    facts: dict[str, Json] = {
        "control": accepted.facts(),
        "sequential": twin.facts(),
        "valid_bursts": tally.clean,
        "mixture": dict(tally.mixture),
    }
    if tally.voids:
        facts["void_bursts"] = dict(tally.voids)
    if tally.cut_short:
        facts["cut_short"] = tally.cut_short
    if tally.hit is not None:
        return _violated(tally.hit, tally, twin, facts)
    if not tally.clean:
        raise CannotTell(tally.cut_short or "no burst was valid")
    bound = Bound(
        trials=tally.clean,
        unit="bursts",
        upper_limit=upper_limit(tally.clean),
        detail=tally.cut_short,
        mixture=dict(tally.mixture),
        void=tally.voids.total(),
    )
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)


def _bursts(context: Context, tally: _Tally) -> None:
    gentle = 0
    while tally.clean < _WANTED_BURSTS:
        if time.monotonic() > context.until:
            tally.cut_short = f"its share of the time ended after {tally.clean} of {_WANTED_BURSTS} bursts"
            return
        burst = _burst(context, gentle)
        if burst.errors:
            tally.hit = burst
            _repeat(context, tally)
            return
        if burst.void:
            tally.voids[burst.void] += 1
            gentle += 1
            if gentle == _VOIDS_IN_A_ROW:
                raise CannotTell(f"{gentle} bursts in a row were void: {burst.void}")
            continue
        gentle = 0
        tally.mixture[f"last-byte n={burst.size}"] += 1
        context.session.progressed("bursts", tally.clean, _WANTED_BURSTS)


def _repeat(context: Context, tally: _Tally) -> None:
    """How often the errors come back. Errors that do not were answered all the same."""
    hits = tries = 0
    try:
        while tries < _REPEATS_OF_A_HIT and time.monotonic() < context.until:
            tries += 1
            hits += bool(_burst(context, gentle=0).errors)
            tally.rate = hits, tries
    except (BudgetEnded, CannotTell) as ended:
        tally.cut_short = str(ended)


def _burst(context: Context, gentle: int) -> _Burst:
    """One burst. Smaller and slower after each void one."""
    session = context.session
    shots = _compose(context, max(_LEAST_MEMBERS, _MEMBERS >> gentle))
    delivery = session.deliver(shots, hold_s=min(_HOLD_S * 2**gentle, _LONGEST_HOLD_S))
    # The verdict lies in the answers alone: to read the state of twenty operations would take longer than the burst.
    is_sent = delivery.gate_opened_ns is not None
    session.assume(sum(is_sent and _may_have_effect(response) for response in delivery.responses))
    session.settle()
    errors = _errors(delivery)
    void = "" if errors else delivery.void or _void(delivery)
    session.collected(delivery, None, void)
    return _Burst(len(shots), errors, delivery.history, void)


def _compose(context: Context, size: int) -> tuple[Shot, ...]:
    """Distinct honest requests, on as many resources as it takes for all of them to be possible."""
    shots: list[Shot] = []
    while len(shots) < size:
        scene = context.stage.scene()
        room = size if scene.capacity is None else scene.capacity
        shots += [context.session.shot(context.stage.draft(scene)) for _ in range(min(room, size - len(shots)))]
    return tuple(shots)


def _may_have_effect(response: Response | None) -> bool:
    """Whatever is not a refusal may be one."""
    return response is None or not 400 <= response.status < FIRST_SERVER_ERROR  # noqa: PLR2004  RFC 9110 section 15.5


def _errors(delivery: Delivery) -> dict[str, int]:
    """What no honest request should get, and how often; only of requests that were sent whole."""
    if delivery.gate_opened_ns is None:
        return {}
    answers = zip(delivery.responses, delivery.failures, strict=True)
    return dict(Counter(filter(None, (_error(response, failure) for response, failure in answers))))


def _error(response: Response | None, failure: Failure | None) -> str:
    if response is None:
        return "closed without an answer" if failure is Failure.CLOSED else ""
    if response.status < FIRST_SERVER_ERROR:
        return ""
    is_polite = response.status in LIMITED and bool(response.values("Retry-After"))
    return _ASKED_TO_RETRY if is_polite else str(response.status)


def _void(delivery: Delivery) -> str:
    """Why a burst that was delivered shows nothing, or ""."""
    silent = sum(failure is not None for failure in delivery.failures)
    if silent:
        return f"{silent} of {len(delivery.responses)} members had no complete answer in time"
    through = sum(response is not None and response.status not in LIMITED for response in delivery.responses)
    if through < _LEAST_MEMBERS:
        return f"a rate limiter let only {through} of {len(delivery.responses)} members through"
    return ""


def _violated(hit: _Burst, tally: _Tally, twin: Trial, facts: dict[str, Json]) -> Conclusion:
    hits, tries = tally.rate
    in_turn = _said(_errors_in_turn(twin.statuses)) or "no such answer"
    facts |= {
        "errors": dict(hit.errors),
        "statuses": hit.history.statuses(),
        "most_in_flight": hit.history.most_in_flight(),
        "came_back": f"{hits} of {tries}",
        "also_sequential": bool(_errors_in_turn(twin.statuses)),
    }
    summary = (
        f"{hit.size} distinct honest requests at once: {_said(hit.errors)}. One after the other: {in_turn}. "
        f"It came back in {hits} of {tries} further bursts, after {tally.clean} without."
    )
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(summary, facts, hit.history),
        # Busy, and says when to come back: the sender loses time, not the request.
        severity=Severity.LOW if set(hit.errors) == {_ASKED_TO_RETRY} else Severity.MEDIUM,
        remedy=_REMEDY,
    )


def _errors_in_turn(statuses: Mapping[str, int]) -> dict[str, int]:
    return {status: count for status, count in statuses.items() if status == "none" or status.startswith("5")}


def _said(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {error}" for error, count in errors.items())


_REMEDY = (
    "Under load a request waits for a lock, and what it gets when it has waited too long is nobody's business to see: "
    "open one connection per worker and create tables at the start, keep transactions short, begin a writing one as a "
    "writer, and answer 503 with Retry-After when the time is up."
)

CHECK = Check(
    id="contention-errors",
    title="Do honest requests get server errors in a burst?",
    cwe=(362, 755),
    owasp="API4:2023 Unrestricted Resource Consumption",
    share=12,
    missing=_missing,
    run=_run,
)
