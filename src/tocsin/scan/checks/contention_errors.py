"""Do honest requests get server errors in a burst?"""

from collections import Counter
from collections.abc import Mapping

from tocsin.findings import Evidence, Json, Severity, Verdict
from tocsin.scan._bursts import (
    FIRST_SERVER_ERROR,
    Seen,
    Tally,
    delivered,
    distinct,
    size_of,
    too_few_answered,
    until_hit,
)
from tocsin.scan._check import Check, Conclusion, Context, Cost, needs_state
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._plan import Plan
from tocsin.scan._statuses import LIMITED
from tocsin.scan._trial import Trial
from tocsin.scan._trials import control, sequential
from tocsin.wire import Delivery, Failure, Response

_MEMBERS = 20
# 30 clean bursts bound the probability per burst at 9.5 %: what fails less often is not what a peak of load meets.
_WANTED_BURSTS = 30
# What a service closes so often, and never once does not, is no accident: fewer at once would answer another question.
_CLOSED_TIMES = 3
_ASKED_TO_RETRY = "503 with Retry-After"


def _missing(plan: Plan) -> str:
    without = "no fresh variable: honest requests at once must be distinct; add one to [variables]"
    return needs_state(plan) or ("" if plan.identity else without)


def _run(context: Context) -> Conclusion:
    accepted = control(context.session, context.stage, anew=True)
    tally = until_hit(context, _Bursts(context).one, wanted=_WANTED_BURSTS, enough=lambda: True)
    facts: dict[str, Json] = {"control": accepted.facts(), **tally.facts()}
    if tally.hit is not None:
        return _violated(tally.hit, tally, _twin(context), facts)
    bound = tally.bound()
    return Conclusion(Verdict.NOT_OBSERVED, Evidence(str(bound), facts), bound=bound)


class _Bursts:
    """Bursts of distinct honest requests, and how those of the full size fared."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._closed = 0
        self._is_borne = False

    def one(self, gentle: int) -> Seen:
        """One burst. The verdict lies in the answers alone: to read twenty operations would take longer.

        Raises CannotTell if the service does not bear as many connections as it takes to ask.
        """
        context = self._context
        shots = distinct(context, size_of(_MEMBERS, gentle))
        delivery = delivered(context, shots, gentle)
        context.session.settle()
        errors = _errors(delivery)
        void = "" if errors else delivery.void or too_few_answered(delivery)
        context.session.collected(delivery, None, void)
        if len(shots) == _MEMBERS:
            self._is_borne |= not void
            self._closed += bool(void) and Failure.CLOSED in delivery.failures
        if self._closed >= _CLOSED_TIMES and not self._is_borne:
            raise CannotTell(
                f"the service closed connections of every burst of {_MEMBERS} before its requests were complete, "
                f"{self._closed} times of {self._closed}: {void}; it was asked with fewer only"
            )
        return Seen(len(shots), delivery.style, delivery.history, _said(errors), void, {"errors": errors})


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


def _twin(context: Context) -> Trial | None:
    """As many distinct requests one after the other, if there is a budget for them: only a hit has to be told apart."""
    try:
        shots = distinct(context, _MEMBERS)
        return sequential(context.session, shots, len(shots))
    except (BudgetEnded, CannotTell, ServiceGone):
        return None


def _violated(hit: Seen, tally: Tally, twin: Trial | None, facts: dict[str, Json]) -> Conclusion:
    said = "not asked"
    if twin is not None:
        in_turn = _errors_in_turn(twin.statuses)
        facts |= {"sequential": twin.facts(), "also_sequential": bool(in_turn)}
        said = _said(in_turn) or "no such answer"
    summary = (
        f"{hit.size} distinct honest requests at once: {hit.hit}. One after the other: {said}. "
        f"It came back {tally.came_back}, after {tally.clean} without."
    )
    errors = facts["errors"]
    assert isinstance(errors, Mapping)
    return Conclusion(
        Verdict.VIOLATED,
        Evidence(summary, facts, hit.history),
        # Busy, and says when to come back: the sender loses time, not the request.
        severity=Severity.LOW if set(errors) == {_ASKED_TO_RETRY} else Severity.MEDIUM,
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
    share=7,
    cost=Cost(requests=20, settles=3),
    missing=_missing,
    run=_run,
    bounds_bursts=True,
)
