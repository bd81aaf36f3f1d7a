"""The order of a guarded request, written once: verify, claim, run, settle. PURE.

Rule: nothing is parsed, looked up or written before the signature has passed; no answer leaves before COMMIT has
succeeded; and whatever is not committed as a whole leaves nothing behind, so that a retry runs.
"""

from dataclasses import dataclass
from typing import Any

from tocsin.guard import _problems
from tocsin.guard._answer import Answer, StoredAnswer, replay, replay_status, storable
from tocsin.guard._decision import DECISIONS, Outcome, State, relation_of, state_of
from tocsin.guard._errors import (
    AnswerTooLarge,
    CommitUnknown,
    KeyInUse,
    KeyRefused,
    StoreUnavailable,
    TransactionBroken,
    TransactionConflict,
)
from tocsin.guard._operation import Operation
from tocsin.guard._signed import Signed
from tocsin.guard._steps import (
    Abandon,
    Conflicted,
    Flow,
    Join,
    Look,
    Pause,
    Raised,
    Refused,
    Run,
    Running,
    Settle,
    Take,
    Wait,
    Waited,
)
from tocsin.guard._store import Claim, Forgotten, Granted, Record
from tocsin.signing import Message, Rejected, verify

# A commit whose outcome was unknown, and then turned out not to be there, is tried once more. Twice in a row is a
# store that does not work.
_COMMITS = 2
# How often a handler runs whose transaction conflicts with others. Of any transactions that conflict one is committed,
# so with this many runs and pauses in between, a request that still fails has met a hot spot, not bad luck.
_RUNS = 6


@dataclass(frozen=True, slots=True)
class Ended:
    """How a guarded request ended.

    Args:
        answer: what is sent back.
        reason: what the log says about it; "" where there is nothing to say.
        is_fault: whether the reason is a fault of this service rather than of the request.
    """

    answer: Answer
    reason: str = ""
    is_fault: bool = False


def guarded(operation: Operation, message: Message, now_unix: float) -> Flow[Ended | Raised]:
    """A request from its verification to its answer.

    Args:
        operation: what is guarded.
        message: the request, its body no longer than the cap.
        now_unix: the guard's wall clock.

    Returns:
        The answer, or what the handler raised, after everything was rolled back.
    """
    try:
        verified = verify(message, operation.scheme, operation.keys, now=now_unix)
    except Rejected as rejected:
        return Ended(_problems.UNAUTHORIZED, f"rejected: {rejected.kind}: {rejected}")
    try:
        claim = operation.claim(message, verified, now_unix)
    except KeyRefused as refused:
        return Ended(_problems.bad_request(str(refused)), f"refused: {refused}")
    try:
        return (yield from _applied_once(operation, claim, Signed(message, verified)))
    except KeyInUse as in_use:
        return Ended(_problems.IN_PROGRESS, f"refused: the first request with this key is still running: {in_use}")
    except StoreUnavailable as unavailable:
        return Ended(_problems.UNAVAILABLE, f"store unavailable: {unavailable}", is_fault=True)
    except TransactionBroken as broken:
        return Ended(_problems.BROKEN, f"the handler broke its transaction: {broken}", is_fault=True)


def _applied_once(operation: Operation, claim: Claim, signed: Signed) -> Flow[Ended | Raised]:
    commits = conflicts = 0
    while True:
        try:
            granted = yield from _taken(operation, claim)
        except KeyInUse as in_use:
            if not commits:
                raise
            # What holds the key may be this request's own lost commit.
            raise StoreUnavailable(f"the outcome of COMMIT cannot be told in time: {in_use}") from in_use
        if isinstance(granted, Ended):
            return granted
        try:
            return (yield from _run(operation, claim, signed, granted))
        except CommitUnknown as unknown:
            # Only taking the claim again tells: a plain read can run before the lost commit lands.
            commits += 1
            if commits == _COMMITS:
                return Ended(_problems.UNAVAILABLE, f"the outcome of COMMIT is unknown: {unknown}", is_fault=True)
        except TransactionConflict as conflict:
            conflicts += 1
            if conflicts == _RUNS:
                return Ended(_problems.UNAVAILABLE, f"it ran {_RUNS} times: {conflict}", is_fault=True)
            yield from Pause(conflicts).ask()


def _taken(operation: Operation, claim: Claim) -> Flow[Granted[Any] | Ended]:
    """The right to apply the claim, or what to answer instead."""
    found = yield from Look(claim.key, is_hint=True).ask()
    while True:
        ended = _settled_before(operation, claim, found)
        if ended is not None:
            return ended
        running = yield from Join(claim.key, claim.fingerprint).ask()
        if running is not None:
            ended = yield from _waited(claim, running)
            if ended is not None:
                return ended
            found = yield from Look(claim.key).ask()
            continue
        taken = yield from Take(claim).ask()
        if isinstance(taken, Forgotten):
            return Ended(_problems.UNAUTHORIZED, "rejected: older than a claim that was forgotten; the clock went back")
        if not isinstance(taken, Record):
            return taken
        found = taken


def _settled_before(operation: Operation, claim: Claim, found: Record | None) -> Ended | None:
    """The answer that a committed record decides, or None if nothing stands in the way."""
    state = state_of(found, claim.taken_unix_ms)
    if found is None or state is State.FREE:
        return None
    match DECISIONS[state, relation_of(found.fingerprint, claim.fingerprint)]:
        case Outcome.REPLAY:
            return Ended(replay(_stored(found), operation.seal))
        case Outcome.REPLAY_STATUS:
            return Ended(replay_status(_stored(found).status))
        case Outcome.MISMATCH:
            return Ended(_problems.MISMATCH, "refused: the key was used for another request")
        case _:
            return Ended(_problems.ANSWER_UNKNOWN, "applied before, answer unknown", is_fault=True)


def _stored(record: Record) -> StoredAnswer:
    return StoredAnswer(record.status or 0, record.headers or b"", record.body or b"")


def _waited(claim: Claim, running: Running) -> Flow[Ended | None]:
    """What to answer while another request applies the key; None: it has ended."""
    relation = relation_of(running.fingerprint, claim.fingerprint)
    if DECISIONS[State.RUNNING, relation] is Outcome.MISMATCH:
        return Ended(_problems.MISMATCH, "refused: the key is in use for another request")
    match (yield from Wait(claim.key).ask()):
        case Waited.TIMED_OUT:
            return Ended(_problems.IN_PROGRESS, "refused: the first request with this key is still running")
        case Waited.CROWDED:
            return Ended(_problems.CROWDED, "refused: too many requests wait for this key")
        case _:
            return None


def _run(operation: Operation, claim: Claim, signed: Signed, granted: Granted[Any]) -> Flow[Ended | Raised]:
    ran = yield from Run(granted, signed).ask()
    if isinstance(ran, Conflicted):
        yield from Abandon(granted).ask()
        raise TransactionConflict("its transaction was undone for the sake of another one")
    if isinstance(ran, Raised):
        yield from Abandon(granted).ask()
        return _raised(ran)
    answer = storable(ran.answer)
    if answer.status not in operation.remember:
        yield from Abandon(granted).ask()
        return Ended(answer)
    if isinstance(ran, Refused):
        # Undone first and remembered then, in a transaction of its own: an answer of which nothing was applied.
        yield from Abandon(granted).ask()
        again = yield from _taken(operation, claim)
        if isinstance(again, Ended):
            return again
        granted = again
    yield from Settle(granted, operation.stored(answer)).ask()
    return Ended(answer)


def _raised(ran: Raised) -> Ended | Raised:
    if ran.store_failed:
        return Ended(_problems.UNAVAILABLE, f"store unavailable in the handler: {ran.error}", is_fault=True)
    if isinstance(ran.error, AnswerTooLarge):
        return Ended(_problems.answer_too_large(ran.error.most_bytes), str(ran.error), is_fault=True)
    return ran
