"""The flow of an operation whose messages have an order: what is asked before the handler runs, and what follows."""

import pytest

from tests.guard.test_flow import BODY, GRANT, OK, STORED, Playbook, message, play, record
from tests.guard.test_flow_conflicts import taken_again
from tocsin.guard import _problems, sequence
from tocsin.guard._answer import replay
from tocsin.guard._errors import GroupBroken, StoreUnavailable, TransactionConflict
from tocsin.guard._flow import Ended
from tocsin.guard._log_events import Ending
from tocsin.guard._steps import Abandon, Advance, Join, Look, Pause, Refused, Returned, Run, Settle, Take
from tocsin.guard._store import Position
from tocsin.signing import json_pointer

RULE = sequence(number=json_pointer("/version"), stream=json_pointer("/item"))
NUMBERED = BODY[:-1] + b',"version":7,"item":"a"}'


def taken(body: bytes = NUMBERED) -> Playbook:
    """A flow whose claim was granted."""
    book = play(message(body), sequence=RULE)
    book.expect(Look, None)
    book.expect(Join, None)
    position = book.expect(Take, GRANT).claim.position
    assert isinstance(position, Position)
    assert position.number == 7
    return book


def test_its_stream_moves_on_in_the_transaction_of_the_claim_and_before_the_handler_runs() -> None:
    book = taken()
    assert book.expect(Advance, True).granted is GRANT
    assert book.expect(Run, Returned(OK)).granted is GRANT
    assert book.expect(Settle).answer == STORED
    assert book.ended() == Ended(OK)


def test_what_is_not_newer_is_answered_200_and_remembered_and_never_runs() -> None:
    book = taken()
    book.expect(Advance, False)
    settled = book.expect(Settle)
    assert (settled.granted, settled.answer.status, settled.answer.body) == (GRANT, 200, _problems.SUPERSEDED.body)
    ended = book.ended()
    assert (ended.answer, ended.ending) == (_problems.SUPERSEDED, Ending.SUPERSEDED)


@pytest.mark.parametrize("body", [BODY, NUMBERED.replace(b"7", b"7.5"), NUMBERED.replace(b'"a"', b"null")])
def test_a_message_without_a_usable_number_is_400_and_takes_nothing(body: bytes) -> None:
    ended = play(message(body), sequence=RULE).ended()
    assert (ended.answer.status, ended.ending) == (400, Ending.KEY_REFUSED)
    assert b"no usable sequence" in ended.answer.body.lower()


def test_a_store_that_fails_there_is_503_after_all_was_abandoned() -> None:
    book = taken()
    book.expect(Advance, StoreUnavailable("another message of its stream was being applied"))
    book.expect(Abandon)
    book.expect(Look, None)
    assert book.ended().ending is Ending.UNAVAILABLE


def test_a_conflict_there_is_taken_again_after_a_pause() -> None:
    """And finds what it conflicted with, once that is committed."""
    book = taken()
    book.expect(Advance, TransactionConflict("could not serialize"))
    book.expect(Abandon)
    assert book.expect(Pause).attempt == 1
    taken_again(book)
    book.expect(Advance, False)
    book.expect(Settle)
    assert book.ended().ending is Ending.SUPERSEDED


def test_a_group_that_breaks_there_runs_again_alone() -> None:
    book = taken()
    book.expect(Advance, StoreUnavailable("disk full"))
    book.expect(Abandon, GroupBroken("others were concerned"))
    taken_again(book)
    book.expect(Advance, True)
    book.expect(Run, Returned(OK))
    book.expect(Settle)
    assert book.ended() == Ended(OK)


def test_a_handler_that_refused_applied_nothing_so_its_answer_is_remembered_without_its_number() -> None:
    book = taken()
    book.expect(Advance, True)
    book.expect(Run, Refused(OK))
    book.expect(Abandon)
    taken_again(book)
    book.expect(Settle)
    assert book.ended().ending is Ending.REFUSED_BY_HANDLER


def test_what_was_superseded_is_replayed_and_moves_nothing() -> None:
    book = play(message(NUMBERED), sequence=RULE)
    book.expect(Look, record())
    assert book.ended() == Ended(replay(STORED, None), Ending.REPLAYED)
