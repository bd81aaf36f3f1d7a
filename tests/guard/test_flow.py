"""The flow as a playbook: the steps it asks for, and what it makes of each reply. No store, no thread, no clock."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.guard.shop import HEX, NOW, SECRET
from tocsin.guard import _problems
from tocsin.guard._answer import Answer, StoredAnswer
from tocsin.guard._declare import Options, declare, key_rule
from tocsin.guard._errors import AnswerTooLarge, CommitUnknown, GuardError, StoreUnavailable, TransactionBroken
from tocsin.guard._flow import Ended, guarded
from tocsin.guard._operation import Operation
from tocsin.guard._steps import (
    Abandon,
    Flow,
    Join,
    Look,
    Raised,
    Refused,
    Returned,
    Run,
    Running,
    Settle,
    Step,
    Take,
    Wait,
    Waited,
)
from tocsin.guard._store import Forgotten, Granted, Record
from tocsin.signing import KeyRing, Message, Scheme, Secret, json_pointer, preset, sign

BODY = b'{"order_id":"17","id":"evt_1"}'
OK = Answer(200, (("Content-Type", "text/plain"),), b"done")
STORED = StoredAnswer(200, b'[["Content-Type","text/plain"]]', b"done")
STRIPE = preset("stripe")


class Grant(Granted[None]):
    """What a store would have granted; the playbook never touches it."""

    tx = None

    def settle(self, answer: StoredAnswer) -> None:
        raise AssertionError(f"a flow performs nothing, and settles no {answer}")

    def abandon(self) -> None:
        raise AssertionError("a flow performs nothing")


GRANT = Grant()


def operation(scheme: Scheme = HEX, **options: Any) -> Operation:
    rule = key_rule(scheme, json_pointer("/order_id") if scheme is HEX else None)
    return declare(
        "/order", scheme=scheme, keys=KeyRing.of(SECRET), rule=rule, options=Options(**options), keep=None, seal=None
    )


def message(body: bytes = BODY, *, scheme: Scheme = HEX, secret: Secret = SECRET, now: float = NOW) -> Message:
    plain = Message("POST", "/order", (), body)
    return replace(plain, headers=sign(plain, scheme, secret, now=now))


class Playbook:
    """Drives one flow: `expect` a step and reply to it, until it has `ended`."""

    def __init__(self, flow: Flow[Ended | Raised]) -> None:
        self._advance: Callable[[], Step[Any]] = lambda: next(flow)
        self._flow = flow

    def expect(self, kind: type[Step[Any]], reply: object = None) -> Any:
        """The next step, which has to be of that kind; an exception is thrown, anything else sent."""
        step = self._advance()
        assert type(step) is kind
        if isinstance(reply, BaseException):
            self._advance = partial(self._flow.throw, reply)
        else:
            self._advance = partial(self._flow.send, reply)
        return step

    def ended(self) -> Ended:
        """How the flow ended, which it has to do now."""
        ended = self.result()
        assert isinstance(ended, Ended)
        return ended

    def result(self) -> Ended | Raised:
        try:
            step = self._advance()
        except StopIteration as end:
            result: Ended | Raised = end.value
            return result
        raise AssertionError(f"the flow goes on with {step}")


def play(sent: Message | None = None, **options: Any) -> Playbook:
    return Playbook(guarded(operation(**options), message() if sent is None else sent, NOW))


def granted(**options: Any) -> Playbook:
    """A flow whose handler is to run next."""
    book = play(**options)
    book.expect(Look, None)
    book.expect(Join, None)
    book.expect(Take, GRANT)
    return book


def record(fingerprint: bytes | None = None, **changes: Any) -> Record:
    return replace(Record(fingerprint, 200, STORED.headers, STORED.body, None, None), **changes)


def test_verify_claim_run_settle_in_that_order() -> None:
    book = granted()
    assert book.expect(Run, Returned(OK)).granted is GRANT
    settled = book.expect(Settle)
    assert (settled.granted, settled.answer) == (GRANT, STORED)
    assert book.ended() == Ended(OK)


@pytest.mark.parametrize(
    "sent",
    [
        Message("POST", "/order", (), BODY),
        Message("POST", "/order", (("X-Signature", "junk"),), BODY),
        message(secret=Secret(b"somebody else's secret")),
    ],
    ids=["missing", "malformed", "wrong"],
)
def test_nothing_is_asked_of_the_world_before_the_signature_has_passed(sent: Message) -> None:
    """One wording for all; the reason goes to the log."""
    ended = play(sent).ended()
    assert ended.answer is _problems.UNAUTHORIZED
    assert ended.reason.startswith("rejected: ")


def test_an_old_message_is_answered_like_a_forged_one() -> None:
    stale = message(scheme=STRIPE, now=NOW - 301)
    ended = play(stale, scheme=STRIPE).ended()
    assert ended.answer is _problems.UNAUTHORIZED
    assert "OutsideTolerance" in ended.reason


def test_nothing_is_parsed_before_verification() -> None:
    unsigned = Message("POST", "/order", (), b"[")
    assert play(unsigned).ended().answer.status == 401
    assert play(message(b"[")).ended().answer.status == 400


def test_a_stored_answer_is_replayed_without_taking_anything() -> None:
    book = play()
    book.expect(Look, record())
    assert book.ended().answer == Answer(200, (*OK.headers, ("Idempotent-Replayed", "true")), b"done")


def test_a_tombstone_gives_the_status() -> None:
    book = play()
    book.expect(Look, record(status=201, headers=None, body=None))
    assert book.ended().answer == Answer(201, (("Idempotent-Replayed", "true"),), b"")


def test_another_request_under_the_key_is_refused_whatever_the_first_was_answered() -> None:
    book = play()
    book.expect(Look, record(b"R" + bytes(32)))
    assert book.ended().answer is _problems.MISMATCH


def test_a_claim_without_an_answer_never_runs_again_by_itself() -> None:
    book = play()
    book.expect(Look, record(status=None, headers=None, body=None))
    ended = book.ended()
    assert ended.answer is _problems.ANSWER_UNKNOWN
    assert ended.ending.is_fault


def test_a_forgettable_claim_is_no_obstacle() -> None:
    book = play()
    book.expect(Look, record(claim_until_unix_ms=round(NOW * 1000)))
    book.expect(Join, None)
    book.expect(Take, GRANT)


def test_a_duplicate_waits_for_the_first_and_gets_its_answer() -> None:
    book = play()
    book.expect(Look, None)
    fingerprint = book.expect(Join, Running(None)).fingerprint
    assert fingerprint is not None
    book.expect(Wait, Waited.OVER)
    book.expect(Look, record(fingerprint))
    assert book.ended().answer.body == b"done"


def test_a_duplicate_of_a_request_that_was_rolled_back_runs() -> None:
    book = play()
    book.expect(Look, None)
    book.expect(Join, Running(None))
    book.expect(Wait, Waited.OVER)
    book.expect(Look, None)
    book.expect(Join, None)
    book.expect(Take, GRANT)


@pytest.mark.parametrize(
    ("waited", "answer"), [(Waited.TIMED_OUT, _problems.IN_PROGRESS), (Waited.CROWDED, _problems.CROWDED)], ids=str
)
def test_a_duplicate_that_cannot_wait_is_told_to_come_again(waited: Waited, answer: Answer) -> None:
    book = play()
    book.expect(Look, None)
    book.expect(Join, Running(None))
    book.expect(Wait, waited)
    assert book.ended().answer is answer


def test_another_request_under_a_key_in_use_is_refused_at_once() -> None:
    """The first one's fingerprint is readable, so there is nothing to wait for."""
    book = play()
    book.expect(Look, None)
    book.expect(Join, Running(b"R" + bytes(32)))
    assert book.ended().answer is _problems.MISMATCH


def test_a_claim_that_somebody_took_in_between_is_replayed() -> None:
    book = play()
    book.expect(Look, None)
    book.expect(Join, None)
    book.expect(Take, record())
    assert book.ended().answer.body == b"done"


def test_a_message_as_old_as_a_forgotten_claim_is_refused() -> None:
    """A clock that goes back makes old messages young again; their claims have gone."""
    book = play(message(scheme=STRIPE), scheme=STRIPE)
    book.expect(Look, None)
    book.expect(Join, None)
    book.expect(Take, Forgotten())
    assert book.ended().answer is _problems.UNAUTHORIZED


def test_only_a_message_with_a_signed_time_and_a_bounded_claim_can_be_too_old() -> None:
    book = play(message(scheme=STRIPE), scheme=STRIPE)
    book.expect(Look, None)
    book.expect(Join, None)
    claim = book.expect(Take, GRANT).claim
    assert claim.earliest_unix_ms == round((NOW - STRIPE.tolerance_future_s) * 1000)
    hexed = play()
    hexed.expect(Look, None)
    hexed.expect(Join, None)
    assert hexed.expect(Take, GRANT).claim.earliest_unix_ms is None


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_status_that_is_not_remembered_rolls_back_and_is_sent(status: int) -> None:
    book = granted()
    book.expect(Run, Returned(Answer(status, (), b"no")))
    book.expect(Abandon)
    assert book.ended().answer == Answer(status, (), b"no")


def test_a_returned_refusal_is_committed() -> None:
    book = granted()
    book.expect(Run, Returned(Answer(404, (), b"no")))
    assert book.expect(Settle).answer.status == 404
    assert book.ended().answer.status == 404


def test_a_raised_refusal_is_undone_and_remembered_in_a_transaction_of_its_own() -> None:
    book = granted()
    book.expect(Run, Refused(Answer(404, (), b"no")))
    book.expect(Abandon)
    book.expect(Join, None)
    again = Grant()
    book.expect(Take, again)
    settled = book.expect(Settle)
    assert (settled.granted, settled.answer.status) == (again, 404)
    assert book.ended().answer.status == 404


def test_a_raised_refusal_yields_to_an_answer_that_came_first() -> None:
    book = granted()
    book.expect(Run, Refused(Answer(404, (), b"no")))
    book.expect(Abandon)
    book.expect(Join, None)
    book.expect(Take, record())
    assert book.ended().answer.body == b"done"


def test_a_raised_refusal_that_is_not_remembered_leaves_nothing() -> None:
    book = granted(remember={200})
    book.expect(Run, Refused(Answer(404, (), b"no")))
    book.expect(Abandon)
    assert book.ended().answer.status == 404


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_whatever_else_a_handler_raises_is_rolled_back_and_raised(error: BaseException) -> None:
    book = granted()
    book.expect(Run, Raised(error, store_failed=False))
    book.expect(Abandon)
    assert book.result() == Raised(error, store_failed=False)


def test_a_store_that_fails_in_the_handler_is_unavailable() -> None:
    book = granted()
    book.expect(Run, Raised(RuntimeError("disk full"), store_failed=True))
    book.expect(Abandon)
    assert book.ended().answer is _problems.UNAVAILABLE


def test_an_answer_over_the_limit_is_rolled_back_and_names_the_option() -> None:
    book = granted()
    book.expect(Run, Raised(AnswerTooLarge(7), store_failed=False))
    book.expect(Abandon)
    assert b"max_answer_bytes = 7" in book.ended().answer.body


@pytest.mark.parametrize("ran", [Returned, Refused])
def test_an_answer_that_no_server_can_send_is_rolled_back_and_raised(ran: type[Returned | Refused]) -> None:
    book = granted()
    book.expect(Run, ran(Answer(200, (("X-A", "a\r\nX-B: b"),), b"")))
    book.expect(Abandon)
    raised = book.result()
    assert isinstance(raised, Raised)
    assert isinstance(raised.error, GuardError)


@pytest.mark.parametrize("at", [Look, Take, Settle], ids=lambda step: step.__name__)
def test_a_store_that_is_down_is_503_and_the_handler_is_never_run_unguarded(at: type[Step[Any]]) -> None:
    book = play()
    down = StoreUnavailable("locked")
    for step, reply in ((Look, None), (Join, None), (Take, GRANT), (Run, Returned(OK)), (Settle, None)):
        book.expect(step, down if step is at else reply)
        if step is at:
            break
    assert book.expect(Look, down if at is Look else None).is_hint
    ended = book.ended()
    assert ended.answer is _problems.UNAVAILABLE
    assert ended.ending.is_fault


def test_a_duplicate_that_cannot_have_a_transaction_needs_none() -> None:
    book = play()
    book.expect(Look, None)
    book.expect(Join, None)
    book.expect(Take, StoreUnavailable("locked"))
    assert book.expect(Look, record()).is_hint
    assert book.ended().answer.body == b"done"


def test_a_handler_that_broke_its_transaction_is_500_whatever_it_returned() -> None:
    book = granted()
    book.expect(Run, Returned(OK))
    book.expect(Settle, TransactionBroken("it tried COMMIT"))
    ended = book.ended()
    assert ended.answer is _problems.BROKEN
    assert "it tried COMMIT" in ended.reason


def test_a_lost_commit_is_resolved_by_taking_the_claim_again() -> None:
    """It had landed: its answer is sent."""
    book = granted()
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("connection lost"))
    book.expect(Join, None)
    book.expect(Take, record())
    assert book.ended().answer.body == b"done"


def test_a_lost_commit_that_never_landed_runs_again_once() -> None:
    book = granted()
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("connection lost"))
    book.expect(Join, None)
    book.expect(Take, GRANT)
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("connection lost"))
    ended = book.ended()
    assert ended.answer is _problems.UNAVAILABLE
    assert "connection lost" in ended.reason


def test_fields_of_one_connection_are_neither_sent_nor_stored() -> None:
    book = granted()
    book.expect(Run, Returned(Answer(200, (("Date", "now"), *OK.headers), b"done")))
    assert book.expect(Settle).answer == STORED
    assert book.ended().answer == OK
