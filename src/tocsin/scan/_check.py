"""What a check is: one question, what it needs to ask it, and how it concludes.

Rule: a check owns everything that is said about it (question, severity, weakness, remedy), so that adding one costs one
file, one line in checks/__init__.py and one test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tocsin.findings import Bound, Evidence, Severity, Verdict
from tocsin.scan._plan import Plan
from tocsin.scan._session import Session
from tocsin.scan._stage import Stage


@dataclass(frozen=True, slots=True)
class Context:
    """What a check works with.

    Args:
        plan: what is scanned.
        session: sends and reads.
        stage: makes resources and requests.
        until: the monotonic time at which the check's share is over, as it was when the check began.
        remeasured: the same as of now, by what the service has taken for a request so far.
    """

    plan: Plan
    session: Session
    stage: Stage
    until: float
    remeasured: Callable[[], float] | None = None

    def share_ends(self) -> float:
        """When the share is over. The first check's is set when nobody knows yet how slow the service is."""
        return self.until if self.remeasured is None else min(self.until, self.remeasured())


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a check has found; the runner adds what the check is."""

    verdict: Verdict
    evidence: Evidence
    severity: Severity = Severity.NONE
    effects: int | None = None
    allowed_effects: int | None = None
    bound: Bound | None = None
    remedy: str = ""
    guard_helps: bool = True


@dataclass(frozen=True, slots=True)
class Cost:
    """What a check needs whatever the time is: how many requests, and how often it lets the state settle."""

    requests: int = 0
    settles: int = 0

    def seconds(self, *, pace_s: float, settle_s: float) -> float:
        """How long that takes.

        Args:
            pace_s: what one request takes, answer included.
            settle_s: how long an effect may take to arrive.
        """
        return self.requests * pace_s + self.settles * settle_s


@dataclass(frozen=True, slots=True)
class Check:
    """One question about a service.

    Args:
        id: as the command line and the reports name it.
        title: the question.
        cwe: the weaknesses that a violation shows, by number.
        owasp: the category of the OWASP API Security Top 10 2023.
        share: of the time that is left over when every check has what it needs, in percent of a full scan.
        missing: what the plan lacks for this check, as a sentence that says what to add, or "".
        run: asks the question. May raise CannotTell and BudgetEnded.
        opt_in: why it is asked only of those who ask for it by name, or "".
        takes_captured: whether one request that somebody else has signed is enough for it.
        bounds_bursts: whether a clean verdict bounds the probability of a hit per burst.
        cost: what it needs at least, as counted on a service without a limit of any kind (docs/checks.md, "Time").
    """

    id: str
    title: str
    cwe: tuple[int, ...]
    owasp: str
    share: float
    missing: Callable[[Plan], str]
    run: Callable[[Context], Conclusion]
    opt_in: str = ""
    takes_captured: bool = False
    bounds_bursts: bool = False
    cost: Cost = Cost()


@dataclass(frozen=True, slots=True)
class Options:
    """How a scan is run.

    Args:
        checks: in the order in which they run.
        seed: of orders and sizes.
        command: the command line that repeats the scan, without --only and --seed.
        opted_in: the ids of those checks that run only where the command line names them, and that it names.
    """

    checks: Sequence[Check]
    seed: int
    command: tuple[str, ...]
    opted_in: frozenset[str] = frozenset()

    def missing(self, check: Check, plan: Plan) -> str:
        """Why a check is not asked, or ""."""
        if check.opt_in and check.id not in self.opted_in:
            return f"not asked for: {check.opt_in}"
        if plan.captured is not None and not check.takes_captured:
            return "a captured request is all there is: add [signing] with a secret, to make requests of one's own"
        return check.missing(plan)


def needs_state(plan: Plan) -> str:
    """The reason of checks that read effects."""
    return "" if plan.state else "no [[state]]: add the read endpoint on which an effect shows"
