"""The flow where a transaction was shared with other requests, and they broke it."""

import pytest

from tests.guard.test_flow import GRANT, OK, granted
from tocsin.guard._answer import Answer
from tocsin.guard._errors import CommitUnknown, GroupBroken, StoreError
from tocsin.guard._flow import Ended
from tocsin.guard._steps import Abandon, Join, Raised, Refused, Returned, Run, Settle, Take

BROKEN = GroupBroken("a request of the same group broke the transaction")
NOT_YET = Returned(Answer(503, (), b"later"))


def test_what_others_broke_runs_again_at_once_and_is_no_conflict_of_its_own() -> None:
    """A neighbour that is broken for ever uses nothing up."""
    book = granted()
    for _ in range(8):
        book.expect(Run, Returned(OK))
        book.expect(Settle, BROKEN)
        book.expect(Join, None)
        book.expect(Take, GRANT)
    book.expect(Run, Returned(OK))
    book.expect(Settle)
    assert book.ended() == Ended(OK)


@pytest.mark.parametrize("ran", [Raised(RuntimeError(), store_failed=False), Refused(OK), NOT_YET], ids=repr)
def test_an_answer_that_rests_on_what_was_undone_is_not_used(ran: object) -> None:
    book = granted()
    book.expect(Run, ran)
    book.expect(Abandon, BROKEN)
    book.expect(Join, None)
    book.expect(Take, GRANT)
    book.expect(Run, Returned(OK))
    book.expect(Settle)
    assert book.ended() == Ended(OK)


@pytest.mark.parametrize("undone", [BROKEN, CommitUnknown("COMMIT: disk I/O error")], ids=repr)
def test_a_handler_that_was_stopped_from_outside_does_not_run_again(undone: StoreError) -> None:
    book = granted()
    stopped = Raised(KeyboardInterrupt(), store_failed=False)
    book.expect(Run, stopped)
    book.expect(Abandon, undone)
    assert book.result() == stopped
