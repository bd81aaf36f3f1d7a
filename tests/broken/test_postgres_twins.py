"""Every defence of the PostgreSQL store that is taken away makes a named test fail."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import psycopg
import pytest

from tests.broken.test_guard_twins import Twin
from tests.guard.postgres import (
    test_async,
    test_claim,
    test_commit,
    test_conflicts,
    test_contract,
    test_order,
    test_prepared,
    test_setup,
    test_values,
)
from tests.guard.postgres.cluster import Database
from tests.guard.postgres.conftest import cluster, database, make_shop, make_store, relay, relayed, shop
from tests.guard.postgres.subject import PostgresSubject
from tocsin.guard import _contract_order, _flow, _problems, testing
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown
from tocsin.guard._flow import Ended
from tocsin.guard._operation import Operation
from tocsin.guard._session_stack import SessionStack
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Flow, Look, Raised
from tocsin.guard._store import Claim
from tocsin.guard.stores.postgres import PostgresStore, _claims, _ending, _schema, _sequences, _taking, _transaction
from tocsin.guard.stores.postgres._async_session import AsyncSession
from tocsin.guard.stores.postgres._async_unit import AsyncUnit
from tocsin.guard.stores.postgres._connections import Replacing
from tocsin.guard.stores.postgres._ending import Ending
from tocsin.guard.stores.postgres._phrases import Phrase, plain
from tocsin.guard.stores.postgres._session import BlockingSession, Session
from tocsin.guard.stores.postgres._talk import Talk, said, saying
from tocsin.guard.stores.postgres._transaction import Watched
from tocsin.guard.stores.postgres._unit import Unit
from tocsin.guard.stores.postgres._values import TEXT

__all__ = ["cluster", "database", "make_shop", "make_store", "relay", "relayed", "shop"]

pytestmark = pytest.mark.usefixtures("litter_collected")


def reworded(patch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Say a statement with other words in it."""
    phrase: Phrase = getattr(_claims, name)
    assert old in phrase.text
    patch.setattr(_claims, name, replace(phrase, text=phrase.text.replace(old, new)))


def commit_believed_without_its_tag(patch: pytest.MonkeyPatch) -> None:
    """As an ordinary service ends its transaction: COMMIT, which raises nothing."""

    def settling(ending: Ending, answer: StoredAnswer) -> Talk[None]:
        written = ending._written.transaction_id
        patch.setattr(_claims, "_COMMIT", plain("SELECT 1"))
        with suppress(psycopg.Error):
            yield from _claims.settling(ending._session, ending._claim, answer, transaction_id=written, savepoint=None)
        yield from said("COMMIT")
        ending.is_usable = True

    patch.setattr(Ending, "settling", settling)


def plain_select_after_a_lost_commit(patch: pytest.MonkeyPatch) -> None:
    """What cannot be seen is taken for what has not happened."""

    def looks(operation: Operation, claim: Claim, signed: Signed) -> Flow[Ended | Raised]:
        granted = yield from _flow._taken(operation, claim)
        if isinstance(granted, Ended):
            return granted
        try:
            return (yield from _flow._run(operation, claim, signed, granted))
        except CommitUnknown:
            found = yield Look(claim.key)
            stored = _flow._settled_before(operation, claim, found)
            return Ended(_problems.UNAVAILABLE) if stored is None else stored

    patch.setattr(_flow, "_applied_once", looks)


def lock_timeout_not_put_back(patch: pytest.MonkeyPatch) -> None:
    reworded(patch, "CLAIM", "set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)", "NULL")


def no_unique_claim(patch: pytest.MonkeyPatch) -> None:
    tables = {
        name: statement.replace("bytea PRIMARY KEY", "bytea NOT NULL") for name, statement in _schema.TABLES.items()
    }
    patch.setattr(_schema, "TABLES", MappingProxyType(tables))
    reworded(patch, "CLAIM", "ON CONFLICT (key) DO NOTHING", "")


def control_statements_let_through(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_transaction, "control_in", lambda _: "")


def answer_stored_in_whatever_transaction(patch: pytest.MonkeyPatch) -> None:
    reworded(patch, "SETTLE", "AND pg_current_xact_id() = %(transaction)s", "")


def no_run_after_a_conflict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ending, "conflicts", lambda *_: False)


def conflict_on_the_claim_taken_for_a_fault(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_taking, "trouble_with", lambda _: None)


def connections_shared_with_forked_children(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PostgresStore, "renew_after_fork", lambda _: None)


def no_memory_of_what_was_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A new claim is not compared with what was let go."""
    reworded(patch, "FORGOTTEN", _claims.FORGOTTEN.text, "SELECT NULL, 1")


def connection_kept_after_a_cancellation(patch: pytest.MonkeyPatch) -> None:
    """The claim that the task no longer waits for is written after all, and nobody undoes it."""
    patch.setattr(AsyncSession, "hang_up", lambda _: None)
    patch.setattr(SessionStack, "give_back", lambda stack, session: stack.idle.append(session))


def commit_cut_short(patch: pytest.MonkeyPatch) -> None:
    async def settle(unit: AsyncUnit, answer: StoredAnswer) -> None:
        unit._tx.end()
        await unit.session.hold(unit.ending.settling(answer))
        unit.store.finish(unit)

    patch.setattr(AsyncUnit, "settle_async", settle)


def transaction_for_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watched, "_live", lambda tx, _: tx._session)


def names_believed_for_ever(patch: pytest.MonkeyPatch) -> None:
    for module in (_taking, _ending):
        patch.setattr(module, "NO_SUCH_STATEMENT", "")


def lost_connections_not_replaced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "is_stale", False)


def answers_in_the_text(patch: pytest.MonkeyPatch) -> None:
    """The quickest way for all that is said."""
    patch.setattr(_claims, "calling", saying)


def new_connections_not_replaced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Replacing, "does_once", lambda _: False)


def values_between_quotes(patch: pytest.MonkeyPatch) -> None:
    """As it is usually done by hand."""
    patch.setattr(test_values, "TEXT", replace(TEXT, literal=lambda value: f"'{value}'"))


LATE = test_commit.test_a_lost_commit_that_lands_late_is_waited_for
OWN_LOCK_TIMEOUT = test_claim.test_lock_timeout_is_the_applications_own_while_the_handler_runs
WAITED = test_claim.test_a_duplicate_that_waited_in_another_process_gets_the_stored_answer
TRIED = test_commit.test_a_handler_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned
ENDED = test_commit.test_a_transaction_that_was_ended_behind_the_facade_is_500_and_never_remembered
FORGOTTEN = test_claim.test_a_claim_that_is_swept_while_its_duplicate_waits_is_known_as_forgotten


def numbers_not_compared(patch: pytest.MonkeyPatch) -> None:
    comparison = "WHERE s.number < excluded.number"
    assert comparison in _sequences._ADVANCE.text
    patch.setattr(
        _sequences, "_ADVANCE", replace(_sequences._ADVANCE, text=_sequences._ADVANCE.text.replace(comparison, ""))
    )


def number_written_on_another_connection(patch: pytest.MonkeyPatch) -> None:
    def advance(unit: Unit, wait_s: float) -> bool:
        with psycopg.connect(unit.session.connection.info.dsn, autocommit=True) as other:
            session = BlockingSession(other)
            session.hold(said("SELECT set_config('tocsin.lock_timeout', '0', false)"))
            talk = _sequences.advancing(session, unit.claim, wait_s=wait_s, is_nested=False)
            return session.hold(talk)

    patch.setattr(Unit, "advance", advance)


def lock_timeout_of_a_stream_not_put_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_sequences, "_UNBOUND", plain("SELECT 1"))


class Closing(PostgresSubject):
    """A subject whose stores are closed whatever becomes of a case."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.opened: list[PostgresStore] = []

    def open(self) -> PostgresStore:
        self.opened.append(super().open())
        return self.opened[-1]


def in_order(case: Callable[[Any], None], database: Database) -> None:
    """One case of the contract; one that fails keeps its stores open."""
    subject = Closing(database)
    try:
        case(subject)
    finally:
        for store in subject.opened:
            store.close()


TWINS = [
    Twin(
        numbers_not_compared,
        in_order,
        {"case": _contract_order.a_message_is_applied_if_it_is_newer_than_all_before_it},
    ),
    Twin(
        number_written_on_another_connection,
        in_order,
        {"case": _contract_order.an_abandoned_message_leaves_no_number_behind},
    ),
    Twin(
        lock_timeout_of_a_stream_not_put_back,
        test_order.test_the_applications_own_lock_timeout_stands_whatever_came_of_the_number,
    ),
    Twin(commit_believed_without_its_tag, test_commit.test_commit_counts_only_by_its_tag),
    Twin(plain_select_after_a_lost_commit, LATE),
    Twin(lock_timeout_not_put_back, OWN_LOCK_TIMEOUT),
    Twin(
        no_unique_claim,
        test_contract.test_postgres_keeps_the_contract_of_a_store_also_where_transactions_see_a_snapshot,
        {"case": testing.of_many_concurrent_takers_one_is_granted, "level": "read committed", "kind": "threads"},
    ),
    Twin(control_statements_let_through, TRIED, {"sql": "COMMIT"}),
    Twin(answer_stored_in_whatever_transaction, ENDED, {"control": ["COMMIT", "BEGIN"], "claims": 1}),
    Twin(no_run_after_a_conflict, test_conflicts.test_of_two_handlers_in_a_deadlock_one_runs_again),
    Twin(conflict_on_the_claim_taken_for_a_fault, WAITED, {"level": "serializable"}),
    Twin(connections_shared_with_forked_children, test_setup.test_a_forked_child_has_connections_of_its_own),
    Twin(no_memory_of_what_was_forgotten, FORGOTTEN, {"level": "read committed"}),
    Twin(commit_believed_without_its_tag, test_async.test_commit_of_a_task_counts_only_by_its_tag),
    Twin(
        plain_select_after_a_lost_commit,
        test_async.test_a_commit_that_a_task_lost_and_that_lands_late_is_waited_for,
    ),
    Twin(no_run_after_a_conflict, test_async.test_of_two_tasks_in_a_deadlock_one_runs_again),
    Twin(
        connection_kept_after_a_cancellation,
        test_async.test_a_task_that_is_cancelled_while_it_waits_for_a_claim_has_taken_nothing,
    ),
    Twin(commit_cut_short, test_async.test_a_task_that_is_cancelled_at_commit_is_told_how_it_ended_and_cancelled_then),
    Twin(transaction_for_whoever_asks, test_async.test_a_transaction_belongs_to_the_task_of_its_handler),
    Twin(names_believed_for_ever, test_prepared.test_a_handler_that_lets_go_of_what_was_prepared_runs_again_without_it),
    Twin(names_believed_for_ever, test_prepared.test_a_pooler_that_does_not_show_is_found_out_at_the_claim),
    Twin(names_believed_for_ever, test_async.test_a_pooler_that_does_not_show_is_found_out_at_the_claim_of_a_task),
    Twin(
        lost_connections_not_replaced,
        test_prepared.test_a_connection_that_the_server_closed_while_nobody_used_it_is_replaced,
    ),
    Twin(
        new_connections_not_replaced,
        test_prepared.test_a_new_connection_that_is_lost_before_the_claim_is_written_is_replaced_once,
    ),
    Twin(
        new_connections_not_replaced,
        test_async.test_a_new_connection_that_is_lost_before_a_task_has_its_claim_is_replaced_once,
    ),
    Twin(answers_in_the_text, test_prepared.test_whoever_watches_the_server_reads_no_answer),
    Twin(
        values_between_quotes,
        test_values.test_no_character_of_a_value_reaches_the_text_of_a_statement,
        {"hostile": "'; DROP TABLE orders; --"},
    ),
]


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_same_test_passes_for_the_store(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
