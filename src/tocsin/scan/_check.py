"""What a check is: one question, what it needs to ask it, and how it concludes.

Rule: a check owns everything that is said about it (question, severity, weakness, remedy), so that adding one costs one
file, one line in checks/__init__.py and one test.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tocsin.findings import Bound, Evidence, Severity, Verdict
from tocsin.scan._plan import Plan
from tocsin.scan._session import Session
from tocsin.scan._stage import Stage


@dataclass(frozen=True, slots=True)
class Context:
    """What a check works with. `until` is the monotonic time at which its share is over."""

    plan: Plan
    session: Session
    stage: Stage
    until: float


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
class Check:
    """One question about a service.

    Args:
        id: as the command line and the reports name it.
        title: the question.
        cwe: the weaknesses that a violation shows, by number.
        owasp: the category of the OWASP API Security Top 10 2023.
        share: of a scan's time, as a weight beside the other checks'.
        missing: what the plan lacks for this check, as a sentence that says what to add, or "".
        run: asks the question. May raise CannotTell and BudgetEnded.
    """

    id: str
    title: str
    cwe: tuple[int, ...]
    owasp: str
    share: float
    missing: Callable[[Plan], str]
    run: Callable[[Context], Conclusion]


def needs_state(plan: Plan) -> str:
    """The reason of checks that read effects."""
    return "" if plan.state else "no [[state]]: add the read endpoint on which an effect shows"
