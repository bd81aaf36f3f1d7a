"""The order of a guarded request, written once: verify, claim, run, settle. PURE.

Rule: nothing is parsed, looked up or written before the signature has passed; no answer leaves before COMMIT has
succeeded; and whatever is not committed as a whole leaves nothing behind, so that a retry runs.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from tocsin.guard import _problems
from tocsin.guard._answer import Answer, StoredAnswer, replay, replay_status, storable
from tocsin.guard._decision import DECISIONS, Outcome, State, relation_of, state_of
from tocsin.guard._errors import (
    AnswerTooLarge,
    CommitUnknown,
    GroupBroken,
    GuardError,
    KeyInUse,
    KeyRefused,
    StoreError,
    StoreUnavailable,
    TransactionBroken,
    TransactionConflict,
)
from tocsin.guard._log_events import Ending
from tocsin.guard._operation import Operation
from tocsin.guard._signed import Signed
from tocsin.guard._steps import (
    Abandon,
    Advance,
    Conflicted,
    Flow,
    Held,
    Join,
    Look,
    Pause,
    Raised,
    Ran,
    Refused,
    Run,
    Running,
    Settle,
    Take,
    Wait,
    Waited,
)
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.signing import Message, Rejected, verify

# A commit whose outcome was unknown, and then turned out not to be there, is tried once more. Twice in a row is a
# store that does not work.
_COMMITS = 2
# How often a handler runs whose transaction conflicts with others. Of any transactions that conflict one is committed,
# so with this many runs and pauses in between, a request that still fails has met a hot spot, not bad luck.
_RUNS = 6
# Python 3.11 finds a member of an enumeration by a function call.
_REPLAY, _REPLAYED, _APPLIED = Outcome.REPLAY, Ending.REPLAYED, Ending.APPLIED
_STILL_RUNNING = "refused: the first request with this key is still running"


@dataclass(slots=True)
class Ended:
    """How a guarded request ended.

    Args:
        answer: what is sent back.
        ending: what the log calls it.
        reason: what the log says about it; "" where the ending says it all.
        claim: for the log; None where the request has none.
    """

    answer: Answer
    ending: Ending = Ending.APPLIED
    reason: str = ""
    claim: Claim | None = field(default=None, compare=False, repr=False)


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
        return Ended(_problems.UNAUTHORIZED, Ending.REJECTED, f"rejected: {rejected.kind}: {rejected}")
    try:
        claim = operation.claim(message, verified, now_unix)
    except KeyRefused as refused:
        return Ended(_problems.bad_request(str(refused)), Ending.KEY_REFUSED, f"refused: {refused}")
    try:
        # For a duplicate this is all there is, so it stands here and not in a generator of its own.
        ended = _settled_before(operation, claim, (yield Look(claim.key, is_hint=True)))
        return ended or (yield from _applied_once(operation, claim, Signed(message, verified)))
    except KeyInUse as in_use:
        return Ended(_problems.IN_PROGRESS, Ending.IN_PROGRESS, f"{_STILL_RUNNING}: {in_use}", claim)
    except StoreUnavailable as unavailable:
        return (yield from _unavailable(operation, claim, unavailable))
    except TransactionBroken as broken:
        return Ended(_problems.BROKEN, Ending.BROKEN, f"the handler broke its transaction: {broken}", claim)


def _unavailable(operation: Operation, claim: Claim, unavailable: StoreUnavailable) -> Flow[Ended]:
    """503, but for a duplicate that this process had not met, and that needs no transaction."""
    ended: Ended | None = None
    with suppress(StoreUnavailable):
        ended = _settled_before(operation, claim, (yield Look(claim.key, is_hint=True)))
    return ended or Ended(_problems.UNAVAILABLE, Ending.UNAVAILABLE, f"store unavailable: {unavailable}", claim)


def _applied_once(operation: Operation, claim: Claim, signed: Signed) -> Flow[Ended | Raised]:
    commits = conflicts = 0
    while True:
        try:
            granted = yield from _taken(operation, claim)
        except KeyInUse as in_use:
            if not commits:
                raise
            # What holds the key may be this request's own lost commit.
            reason = f"the outcome of COMMIT cannot be told in time: {in_use}"
            return Ended(_problems.UNAVAILABLE, Ending.COMMIT_UNKNOWN, reason, claim)
        if isinstance(granted, Ended):
            return granted
        try:
            return (yield from _run(operation, claim, signed, granted))
        except CommitUnknown as unknown:
            # Only taking the claim again tells: a plain read can run before the lost commit lands.
            commits += 1
            if commits == _COMMITS:
                reason = f"the outcome of COMMIT is unknown: {unknown}"
                return Ended(_problems.UNAVAILABLE, Ending.COMMIT_UNKNOWN, reason, claim)
        except GroupBroken:
            # Others broke what it shared with them. Alone, as it runs next, that cannot happen to it again.
            continue
        except TransactionConflict as conflict:
            conflicts += 1
            if conflicts == _RUNS:
                reason = f"it ran {_RUNS} times: {conflict}"
                return Ended(_problems.UNAVAILABLE, Ending.CONFLICTED, reason, claim)
            yield Pause(conflicts)


def _taken(operation: Operation, claim: Claim) -> Flow[Held | Ended]:
    """The right to apply the claim, or what to answer instead."""
    while True:
        running: Running | None = yield Join(claim.key, claim.fingerprint)
        if running is None:
            taken: Held | Record | Forgotten = yield Take(claim)
            if isinstance(taken, Forgotten):
                reason = "rejected: older than a claim that was forgotten; the clock went back"
                return Ended(_problems.UNAUTHORIZED, Ending.FORGOTTEN, reason, claim)
            if not isinstance(taken, Record):
                return taken
            found: Record | None = taken
        else:
            ended = yield from _waited(claim, running)
            if ended is not None:
                return ended
            found = yield Look(claim.key)
        ended = _settled_before(operation, claim, found)
        if ended is not None:
            return ended


def _settled_before(operation: Operation, claim: Claim, found: Record | None) -> Ended | None:
    """The answer that a committed record decides, or None if nothing stands in the way."""
    if found is None:
        return None
    state = state_of(found, claim.taken_unix_ms)
    outcome = DECISIONS[state, relation_of(found.fingerprint, claim.fingerprint)]
    if outcome is _REPLAY:
        return Ended(replay(_stored(found), operation.seal), _REPLAYED, claim=claim)
    match outcome:
        case Outcome.RUN:
            return None
        case Outcome.REPLAY_STATUS:
            return Ended(replay_status(_stored(found).status), Ending.REPLAYED_STATUS, claim=claim)
        case Outcome.MISMATCH:
            return Ended(_problems.MISMATCH, Ending.MISMATCH, "refused: the key was used for another request", claim)
        case _:
            reason = "applied before, answer unknown"
            return Ended(_problems.ANSWER_UNKNOWN, Ending.ANSWER_UNKNOWN, reason, claim)


def _stored(record: Record) -> StoredAnswer:
    return StoredAnswer(record.status or 0, record.headers or b"", record.body or b"")


def _waited(claim: Claim, running: Running) -> Flow[Ended | None]:
    """What to answer while another request applies the key; None: it has ended."""
    relation = relation_of(running.fingerprint, claim.fingerprint)
    if DECISIONS[State.RUNNING, relation] is Outcome.MISMATCH:
        return Ended(_problems.MISMATCH, Ending.MISMATCH, "refused: the key is in use for another request", claim)
    waited: Waited = yield Wait(claim.key)
    match waited:
        case Waited.TIMED_OUT:
            return Ended(_problems.IN_PROGRESS, Ending.IN_PROGRESS, _STILL_RUNNING, claim)
        case Waited.CROWDED:
            return Ended(_problems.CROWDED, Ending.CROWDED, "refused: too many requests wait for this key", claim)
        case _:
            return None


def _run(operation: Operation, claim: Claim, signed: Signed, granted: Held) -> Flow[Ended | Raised]:
    if claim.position is not None and not (yield from _advanced(granted)):
        # Remembered like an answer of the handler's: what was older once is older for ever.
        answer = _problems.SUPERSEDED
        yield Settle(granted, operation.stored(answer))
        return Ended(answer, Ending.SUPERSEDED, "its stream has a number as high as its own, or a higher one", claim)
    ran: Ran = yield Run(granted, signed)
    if isinstance(ran, Conflicted):
        yield Abandon(granted)
        raise TransactionConflict("its transaction was undone for the sake of another one")
    if isinstance(ran, Raised):
        try:
            yield Abandon(granted)
        except (GroupBroken, CommitUnknown):
            # Whoever stops a handler (a signal, a cancellation) does not want it to run again.
            if isinstance(ran.error, Exception):
                raise
        return _raised(ran, claim)
    answer = storable(ran.answer)
    if answer.status not in operation.remember:
        yield Abandon(granted)
        reason = f"rolled back: {answer.status} is not remembered"
        return Ended(answer, Ending.NOT_REMEMBERED, reason, claim)
    try:
        stored = operation.stored(answer)
    except GuardError as error:
        yield Abandon(granted)
        return Raised(error, store_failed=False, claim=claim)
    ending = _APPLIED
    if isinstance(ran, Refused):
        ending = Ending.REFUSED_BY_HANDLER
        # Undone first and remembered then, in a transaction of its own: an answer of which nothing was applied.
        yield Abandon(granted)
        again = yield from _taken(operation, claim)
        if isinstance(again, Ended):
            return again
        granted = again
    yield Settle(granted, stored)
    return Ended(answer, ending, claim=claim)


def _advanced(granted: Held) -> Flow[bool]:
    """Whether the claim is newer than all that its stream has applied, which it is from now on."""
    try:
        is_newer: bool = yield Advance(granted)
    except StoreError:
        yield Abandon(granted)
        raise
    return is_newer


def _raised(ran: Raised, claim: Claim) -> Ended | Raised:
    if ran.store_failed:
        reason = f"store unavailable in the handler: {ran.error}"
        return Ended(_problems.UNAVAILABLE, Ending.UNAVAILABLE, reason, claim)
    if isinstance(ran.error, AnswerTooLarge):
        answer = _problems.answer_too_large(ran.error.most_bytes)
        return Ended(answer, Ending.ANSWER_TOO_LARGE, str(ran.error), claim)
    return replace(ran, claim=claim)
