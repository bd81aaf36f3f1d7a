"""Runs the checks of a scan, in order, each within its share of the time.

Rule: a run always ends with RunEnded, and every check that was asked for has a finding: what could not be asked is
INCONCLUSIVE or NOT_APPLICABLE, and says why.
"""

import random
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from tocsin import __version__
from tocsin.events import CheckStarted, Event, FindingMade, RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Remedy, Reproducer, Verdict
from tocsin.scan._allowance import LEAST_GRACE_S, Spent
from tocsin.scan._check import Check, Conclusion, Context, Options
from tocsin.scan._compose import Composer
from tocsin.scan._errors import BudgetEnded, CannotTell, ServiceGone, Terminated, bug_said, ended_by
from tocsin.scan._fresh import FreshValues
from tocsin.scan._oracles import learn_answers, open_oracles
from tocsin.scan._plan import SINK_URL, Plan
from tocsin.scan._remedy import guard_call
from tocsin.scan._session import Session
from tocsin.scan._stage import Stage
from tocsin.scan._statistics import scan_wide
from tocsin.scan.oracles import SinkReading
from tocsin.signing import SchemeError, Secret
from tocsin.wire import Address, RequestError

# Kept for the last burst of the last check: a hit that there is no time left to confirm tells nothing.
_RESERVE_S, _RESERVE_SHARE = 1.0, 0.1
# A service slows down under what is sent to it, and what is set aside for later checks cannot be asked back.
_SLOWER: Final = 1.5
_HERE: Final = Path()
# A value that came from the service or the plan does not fit into a request or its signature.
_UNSENDABLE: Final = "a request of the plan cannot be sent"


def run(
    plan: Plan,
    secret: Secret,
    addresses: Mapping[str, Address],
    options: Options,
    emit: Callable[[Event], None],
    *,
    others: Sequence[Secret] = (),
    folder: Path = _HERE,
    sent: int = 0,
) -> None:
    """Scan. All results go to `emit`.

    Args:
        plan: authorised.
        secret: of [signing].
        addresses: of every origin, as `addresses` gives them.
        options: what is asked, and how.
        emit: takes the events.
        others: the secrets of the plan's [[actor]] tables, in their order.
        folder: what the files of oracles are relative to: the plan's.
        sent: how many requests have been sent to find out whether there is anything to scan; the budget covers them.

    Raises:
        KeyboardInterrupt: passed on after RunEnded has said what may be left behind. A check that has a hit by then has
            its finding before. Of a Terminated, the state is brought back first.
        Exception: a bug of ours, in the same way; the check that met it is INCONCLUSIVE, and the others were asked.
    """
    started = time.monotonic()
    hosts = {name: address.authority for name, address in addresses.items()}
    session = Session(
        plan=plan,
        composer=Composer(plan, secret, hosts, others),
        addresses=addresses,
        # Not for secrets: it shuffles the order in which members of a burst are released.
        rng=random.Random(options.seed),  # noqa: S311
        emit=emit,
        deadline=started + plan.budget.seconds,
        spent=Spent(requests=sent),
    )
    stage = Stage(session, FreshValues(plan.variables, recycle_lists=plan.reset is not None))
    findings: list[Finding] = []

    def told(event: Event) -> None:
        if isinstance(event, FindingMade):
            findings.append(event.finding)
        emit(event)

    # Made before anything can break off: the end is told after it, and to nobody who has not heard of the start.
    start = _run_started(session, options)
    interrupted = "broken off"  # unless it comes to an end of its own
    try:
        emit(start)
        with ExitStack() as closing:
            interrupted = _run_checks(session, stage, options, told, _opened(session, folder, closing))
    except Terminated as terminated:
        session.deadline, interrupted = time.monotonic(), ended_by(terminated)
        failure = _brought_back(session, stage, LEAST_GRACE_S)
        interrupted += f"; {failure}" if failure else ""
        raise
    except KeyboardInterrupt as interrupt:
        interrupted = ended_by(interrupt)
        raise
    finally:
        bounded = {check.id for check in options.checks if check.bounds_bursts}
        bounds = [trials for finding in findings if finding.check in bounded for trials in _bounds(finding)]
        emit(
            RunEnded(
                elapsed_s=time.monotonic() - started,
                requests=session.spent.requests,
                effects=session.spent.effects,
                interrupted=interrupted,
                left_behind=_left_behind(session),
                statement=scan_wide([trials for trials in bounds if trials is not None], len(bounds)),
                bounds_asked=len(bounds),
            )
        )
    if session.bug is not None:
        raise session.bug


def _opened(session: Session, folder: Path, closing: ExitStack) -> str:
    """Open the plan's oracles. Returns what went wrong."""
    try:
        session.readers = open_oracles(session.plan, folder, closing)
    except CannotTell as error:
        return str(error)
    for reader in session.readers.values():
        if isinstance(reader, SinkReading):
            session.composer.always = {SINK_URL: reader.url}
    return ""


def _run_checks(session: Session, stage: Stage, options: Options, emit: Callable[[Event], None], failed: str) -> str:
    failed = failed or _failure(stage.reset)
    is_untouched = bool(failed)
    failed = failed or _failure(partial(learn_answers, session, stage))
    for place, check in enumerate(options.checks):
        session.begin(check.id)
        emit(CheckStarted(check.id, check.title))
        missing = options.missing(check, session.plan)
        if missing:
            conclusion = Conclusion(Verdict.NOT_APPLICABLE, Evidence(missing))
        elif session.gone or failed:
            conclusion = Conclusion(Verdict.INCONCLUSIVE, Evidence(f"not asked: {session.gone or failed}"))
        else:
            remeasured = partial(_until, session, options, options.checks[place:])
            conclusion = _asked(check, Context(session.plan, session, stage, remeasured(), remeasured))
        emit(FindingMade(_finding(check, conclusion, session.plan, options)))
        if session.ended is not None:
            raise session.ended
    # Whatever time the checks took: nothing is left behind that can be brought back.
    ended = session.gone or failed
    standing = "" if is_untouched else _brought_back(session, stage, session.grace_s)
    return ended or standing or ("" if session.bug is None else bug_said(session.bug))


def _brought_back(session: Session, stage: Stage, within_s: float) -> str:
    """Undo what set-ups have made, and reset, in half of the time each. Returns what went wrong."""
    session.wind_down(within_s / 2)
    session.left_standing = _failure(stage.tear_down)
    if stage.standing:
        session.left_standing += f"; {stage.standing} were not undone"
    session.wind_down(within_s / 2)
    failure = session.gone or _failure(stage.bring_back)
    session.is_brought_back = not failure
    return failure


def _failure(act: Callable[[], object]) -> str:
    """Do what belongs to no check. Returns what went wrong."""
    try:
        act()
    except (CannotTell, BudgetEnded, ServiceGone) as error:
        return str(error)
    except (RequestError, SchemeError) as error:
        return f"{_UNSENDABLE}: {error}"
    return ""


def _asked(check: Check, context: Context) -> Conclusion:
    """What a check concludes; INCONCLUSIVE where it could not be asked to the end."""
    try:
        return check.run(context)
    except (CannotTell, BudgetEnded) as reason:
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(str(reason)))
    except (RequestError, SchemeError) as error:
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(f"{_UNSENDABLE}: {error}"))
    except ServiceGone as gone:
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(f"during this check, {gone}"))
    except Exception as bug:  # noqa: BLE001  the run raises it at its end: what one check meets costs no other its word
        context.session.bug = context.session.bug or bug
        return Conclusion(Verdict.INCONCLUSIVE, Evidence(bug_said(bug)))


def _until(session: Session, options: Options, rest: Sequence[Check]) -> float:
    """The end of the next check's share: what it needs, and its part of what nobody needs. Shared anew each time."""
    now = time.monotonic()
    reserve_s = min(_RESERVE_S, _RESERVE_SHARE * session.plan.budget.seconds)
    left_s = max(0.0, session.deadline - reserve_s - now)
    asked = [check for check in rest if not options.missing(check, session.plan)]
    pace_s = _SLOWER * session.pace_s
    needs_s = [check.cost.seconds(pace_s=pace_s, settle_s=session.plan.settle_s) for check in asked]
    if left_s < sum(needs_s):
        return now + left_s * needs_s[0] / sum(needs_s)
    shares = [check.share for check in asked]
    return now + needs_s[0] + (left_s - sum(needs_s)) * shares[0] / sum(shares)


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


def _bounds(finding: Finding) -> Iterator[int | None]:
    """The bounds on a probability that a check was asked for: how many clean trials are behind each; None: not clean.

    There is one for each variant, and for each request that an operation was mixed with, where a check has these.
    """
    facts = finding.evidence.facts
    variants, mixed = facts.get("variants"), facts.get("mixed")
    if isinstance(variants, Mapping):
        for variant in variants.values():
            if isinstance(variant, Mapping) and variant.get("verdict") != Verdict.NOT_APPLICABLE:
                is_clean = variant.get("verdict") == Verdict.NOT_OBSERVED
                yield int(str(variant["valid_bursts"])) if is_clean else None
        return
    races = list(mixed.values()) if isinstance(mixed, Mapping) else []
    for race in races:
        assert isinstance(race, Mapping), "as over-allocation tells it"
        yield None if "came_back" in race else int(str(race["valid_bursts"])) or None
    if finding.verdict is not Verdict.NOT_APPLICABLE and ("verdict" in facts or not races):
        bound = finding.bound
        yield None if bound is None or bound.upper_limit is None else bound.trials


def _shown(plan: Plan) -> str:
    """The scanned request as the plan writes it: its variables, and no value of them."""
    how = f"signed anew: {plan.scheme.name}" if plan.captured is None else "as it was captured"
    return f"{plan.request} {plan.request.body.text}".strip() + f"  [{how}]"


def _run_started(session: Session, options: Options) -> RunStarted:
    plan = session.plan
    return RunStarted(
        version=__version__,
        target=plan.base_url,
        operation=str(plan.request),
        plan=plan.source,
        checks=tuple(check.id for check in options.checks),
        seed=options.seed,
        started_at_unix=time.time(),
        budget_s=plan.budget.seconds,
        delivery=_delivery(session.addresses[""]),
    )


def _delivery(address: Address) -> str:
    """Which protocol is spoken, and why."""
    if address.url_scheme == "https" and address.trust.insecure:
        return f"{address.why}; no certificate is verified ([target] insecure = true)"
    return address.why


def _left_behind(session: Session) -> str:
    spent, plan = session.spent, session.plan
    # Nothing is owed where every set-up was undone, and where there was none.
    standing = f"what [[setup]] made ([[teardown]]: {session.left_standing})" if session.owed else ""
    if not spent.effects + spent.unread or (plan.reset is not None and session.is_brought_back):
        return standing
    unread = f", and at most {spent.unread} more that were not" if spent.unread else ""
    made = standing or ("what [[setup]] made" if plan.setup and not plan.teardown else "")
    not_reset = "; the last [reset] is missing" if plan.reset is not None else ""
    return f"{spent.effects} effects that were read{unread}{made and ', and '}{made}{not_reset}"
