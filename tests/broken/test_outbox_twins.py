"""Every defence of the outbox that is taken away makes a named test fail."""

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.broken.test_guard_twins import Twin
from tests.outbox import contract, test_runner, test_sending
from tests.outbox.conftest import Place, _sqlite
from tocsin.outbox import Session, Taken, _sql
from tocsin.outbox._delivery import Sender
from tocsin.outbox._runner import Runner
from tocsin.outbox.sqlite import SQLiteOutbox


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A file of SQLite."""
    yield from _sqlite(tmp_path / "orders.db")


@pytest.fixture
def file_place(place: Place) -> Place:
    return place


def a_message_in_a_transaction_of_its_own(patch: pytest.MonkeyPatch) -> None:
    """It stays when the effect that it tells of is rolled back."""
    real = SQLiteOutbox.put

    def put(outbox: SQLiteOutbox, _tx: Any, *given: Any, **more: Any) -> str:
        with closing(sqlite3.connect(outbox.where, isolation_level=None)) as own:
            return real(outbox, own, *given, **more)

    patch.setattr(SQLiteOutbox, "put", put)


def a_take_that_only_reads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        _sql,
        "_TAKE",
        "SELECT id, destination, content_type, body, attempts + 1, failures FROM tocsin_outbox "
        "WHERE destination = :destination AND due_unix_ms <= :now ORDER BY due_unix_ms, id LIMIT 1 {locking}",
    )


def a_lease_that_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_sql, "_TAKE", _sql._TAKE.replace("due_unix_ms = :again", "due_unix_ms = NULL"))


def a_taking_that_counts_for_nothing(patch: pytest.MonkeyPatch) -> None:
    counts_not = _sql._TAKE.replace(", failures = failures + 1", "").replace("failures - 1", "failures")
    patch.setattr(_sql, "_TAKE", counts_not)


def no_deadline(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tocsin.outbox._delivery.fail_after", nullcontext)


def no_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_sql, "SETTLE", _sql.SETTLE.replace("attempts = :attempt", ":attempt IS NOT NULL"))


def settled_before_it_is_sent(patch: pytest.MonkeyPatch) -> None:
    """At most once, as a runner would have it that forgets first."""
    real = Session.take

    def take(session: Session, *given: Any, **more: Any) -> Taken | None:
        taken = real(session, *given, **more)
        if taken is not None:
            session.delivered(taken, now_s=0)
        return taken

    patch.setattr(Session, "take", take)


def an_id_for_every_sending(patch: pytest.MonkeyPatch) -> None:
    real = Sender.send

    def send(sender: Sender, taken: Taken) -> Any:
        fresh = Taken(secrets.token_hex(4), taken.destination, taken.content_type, taken.body, taken.attempt, 0)
        return real(sender, fresh)

    patch.setattr(Sender, "send", send)


def one_thread_for_everybody(patch: pytest.MonkeyPatch) -> None:
    """Each destination is served when the one before has nothing left."""
    real = Runner._deliver
    turn = threading.Lock()

    def deliver(*given: Any, **more: Any) -> None:
        with turn:
            real(*given, **more)

    patch.setattr(Runner, "_deliver", deliver)


TWINS = [
    Twin(a_message_in_a_transaction_of_its_own, contract.a_message_of_a_transaction_that_is_rolled_back_is_never_sent),
    Twin(a_take_that_only_reads, contract.one_message_is_taken_by_one_of_many),
    Twin(a_lease_that_never_ends, contract.a_lease_that_ends_gives_the_message_to_the_next_one),
    Twin(a_taking_that_counts_for_nothing, contract.a_taking_that_nobody_settles_counts_as_a_failure),
    Twin(no_deadline, test_sending.test_an_answer_that_never_ends_is_cut_off_and_settled),
    Twin(no_fence, contract.whoever_lost_the_lease_settles_nothing),
    Twin(settled_before_it_is_sent, test_runner.test_a_failure_is_sent_again_under_the_same_id_and_a_new_signature),
    Twin(an_id_for_every_sending, test_runner.test_a_failure_is_sent_again_under_the_same_id_and_a_new_signature),
    Twin(one_thread_for_everybody, test_runner.test_a_destination_that_hangs_keeps_nobody_else_waiting),
]


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A test that waits in vain shall not do so for a minute.
    monkeypatch.setattr("bench.outboxing.receiver.PATIENCE_S", 3.0)
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_same_test_passes_for_the_outbox(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
