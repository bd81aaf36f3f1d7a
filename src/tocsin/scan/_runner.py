"""Runs the checks of a scan, in order, each within its share of the time.

Rule: a run always ends with RunEnded, and every check that was asked for has a finding: what could not be asked is
INCONCLUSIVE or NOT_APPLICABLE, and says why.
"""

import random
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tocsin import __version__
from tocsin.events import CheckStarted, Event, FindingMade, RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Remedy, Reproducer, Verdict
from tocsin.scan._check import Check, Conclusion, Context
from tocsin.scan._compose import Composer
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone
from tocsin.scan._fresh import FreshValues
from tocsin.scan._plan import Plan
from tocsin.scan._remedy import guard_call
from tocsin.scan._session import Session
from tocsin.scan._stage import Stage
from tocsin.signing import SchemeError, Secret
from tocsin.wire import Address, RequestError

# Kept for the last burst of the last check: a hit that there is no time left to confirm tells nothing.
_RESERVE_S, _RESERVE_SHARE = 1.0, 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """How a scan is run.

    Args:
        checks: in the order in which they run.
        seed: of orders and sizes.
        command: the command line that repeats the scan, without --only and --seed.
    """

    checks: Sequence[Check]
    seed: int
    command: tuple[str, ...]


def run(
    plan: Plan, secret: Secret, addresses: Mapping[str, Address], options: Options, emit: Callable[[Event], None]
) -> None:
    """Scan. All results go to `emit`.

    Raises:
        KeyboardInterrupt: passed on after RunEnded has said what may be left behind.
    """
    started = time.monotonic()
    hosts = {name: address.authority for name, address in addresses.items()}
    session = Session(
        plan=plan,
        composer=Composer(plan, secret, hosts),
        addresses=addresses,
        # Not for secrets: it shuffles the order in which members of a burst are released.
        rng=random.Random(options.seed),  # noqa: S311
        emit=emit,
        deadline=started + plan.budget.seconds,
    )
    interrupted = "broken off"  # unless it comes to an end of its own
    try:
        emit(_run_started(plan, options))
        interrupted = _run_checks(session, options, emit)
    except KeyboardInterrupt:
        interrupted = "interrupted by the user"
        raise
    finally:
        emit(
            RunEnded(
                elapsed_s=time.monotonic() - started,
                requests=session.spent.requests,
                effects=session.spent.effects,
                interrupted=interrupted,
                left_behind=_left_behind(session, interrupted),
            )
        )


def _run_checks(session: Session, options: Options, emit: Callable[[Event], None]) -> str:
    stage = Stage(session, FreshValues(session.plan.variables, recycle_lists=session.plan.reset is not None))
    failed = _reset(stage)
    for place, check in enumerate(options.checks):
        session.check = check.id
        emit(CheckStarted(check.id, check.title))
        missing = check.missing(session.plan)
        if missing:
            conclusion = Conclusion(Verdict.NOT_APPLICABLE, Evidence(missing))
        elif session.gone or failed:
            conclusion = Conclusion(Verdict.INCONCLUSIVE, Evidence(f"not asked: {session.gone or failed}"))
        else:
            until = _until(session, options.checks[place:])
            conclusion = _asked(check, Context(session.plan, session, stage, until))
        emit(FindingMade(_finding(check, conclusion, session.plan, options)))
    # Whatever time the checks took: nothing is left behind that can be brought back.
    session.wind_down()
    return session.gone or failed or _reset(stage)


def _asked(check: Check, context: Context) -> Conclusion:
    """What a check concludes; INCONCLUSIVE where it could not be asked to the end."""
    try:
        return check.run(context)
    except (CannotTell, BudgetEnded) as reason:
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(str(reason)))
    except (RequestError, SchemeError) as error:
        # A value that came from the service or the plan does not fit into a request or its signature.
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(f"a request of the plan cannot be sent: {error}"))
    except ServiceGone as gone:
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(f"during this check, {gone}"))


def _reset(stage: Stage) -> str:
    """Bring the state back, before the first check and after the last. Returns what went wrong."""
    try:
        stage.reset()
    except (CannotTell, BudgetEnded, ServiceGone) as error:
        return str(error)
    return ""


def _until(session: Session, rest: Sequence[Check]) -> float:
    """The end of the next check's share. What earlier checks did not use is shared anew."""
    now = time.monotonic()
    reserve_s = min(_RESERVE_S, _RESERVE_SHARE * session.plan.budget.seconds)
    shares = [check.share for check in rest if not check.missing(session.plan)]
    return now + max(0.0, session.deadline - reserve_s - now) * shares[0] / sum(shares)


def _finding(check: Check, conclusion: Conclusion, plan: Plan, options: Options) -> Finding:
    finding = Finding(
        check=check.id,
        title=check.title,
        verdict=conclusion.verdict,
        evidence=conclusion.evidence,
        severity=conclusion.severity,
        effects=conclusion.effects,
        allowed_effects=conclusion.allowed_effects,
        bound=conclusion.bound,
    )
    if conclusion.verdict is not Verdict.VIOLATED:
        return finding
    command = shlex.join((*options.command, "--only", check.id, "--seed", str(options.seed)))
    return replace(
        finding,
        reproducer=Reproducer(command, (_shown(plan),)),
        remedy=Remedy(conclusion.remedy, guard_call(plan) if conclusion.guard_helps else ""),
        cwe=check.cwe,
        owasp=check.owasp,
    )


def _shown(plan: Plan) -> str:
    """The scanned request as the plan writes it: its variables, and no value of them."""
    return f"{plan.request} {plan.request.body.text}".strip() + f"  [signed anew: {plan.scheme.name}]"


def _run_started(plan: Plan, options: Options) -> RunStarted:
    return RunStarted(
        version=__version__,
        target=plan.base_url,
        operation=str(plan.request),
        plan=plan.source,
        checks=tuple(check.id for check in options.checks),
        seed=options.seed,
        started_at_unix=time.time(),
        budget_s=plan.budget.seconds,
    )


def _left_behind(session: Session, interrupted: str) -> str:
    spent = session.spent
    if not spent.effects + spent.unread or (session.plan.reset is not None and not interrupted):
        return ""
    unread = f", and at most {spent.unread} more that were not" if spent.unread else ""
    made = ", and what [[setup]] made" if session.plan.setup else ""
    not_reset = "; the last [reset] is missing" if session.plan.reset is not None else ""
    return f"{spent.effects} effects that were read{unread}{made}{not_reset}"
