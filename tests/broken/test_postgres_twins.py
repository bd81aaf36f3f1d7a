"""Every defence of the PostgreSQL store that is taken away makes a named test fail."""

from contextlib import suppress
from types import MappingProxyType

import psycopg
import pytest

from tests.broken.test_guard_twins import Twin
from tests.guard.postgres import test_claim, test_commit, test_conflicts, test_contract, test_setup
from tests.guard.postgres.conftest import cluster, database, make_shop, make_store, relay, relayed, shop
from tocsin.guard import _flow, _problems, testing
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown
from tocsin.guard._flow import Ended
from tocsin.guard._operation import Operation
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Flow, Look, Raised
from tocsin.guard._store import Claim
from tocsin.guard.stores.postgres import PostgresStore, _claims, _schema, _taking, _transaction
from tocsin.guard.stores.postgres._unit import Unit

__all__ = ["cluster", "database", "make_shop", "make_store", "relay", "relayed", "shop"]


def commit_believed_without_its_tag(patch: pytest.MonkeyPatch) -> None:
    """As an ordinary service ends its transaction: COMMIT, which raises nothing."""

    def settle(unit: Unit, answer: StoredAnswer) -> None:
        unit.tx.end()
        written = unit._written.transaction_id
        with suppress(psycopg.Error):
            _claims.settle(unit.session, unit.claim, answer, transaction_id=written, ending="SELECT 1")
        unit.session.send("COMMIT")
        unit._desk.finish(unit, is_usable=True)

    patch.setattr(Unit, "settle", settle)


def plain_select_after_a_lost_commit(patch: pytest.MonkeyPatch) -> None:
    """What cannot be seen is taken for what has not happened."""

    def looks(operation: Operation, claim: Claim, signed: Signed) -> Flow[Ended | Raised]:
        granted = yield from _flow._taken(operation, claim)
        if isinstance(granted, Ended):
            return granted
        try:
            return (yield from _flow._run(operation, claim, signed, granted))
        except CommitUnknown:
            found = yield from Look(claim.key).ask()
            stored = _flow._settled_before(operation, claim, found)
            return Ended(_problems.UNAVAILABLE) if stored is None else stored

    patch.setattr(_flow, "_applied_once", looks)


def lock_timeout_not_put_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_claims, "_PUT_BACK", "NULL")


def no_unique_claim(patch: pytest.MonkeyPatch) -> None:
    tables = {
        name: statement.replace("bytea PRIMARY KEY", "bytea NOT NULL") for name, statement in _schema.TABLES.items()
    }
    patch.setattr(_schema, "TABLES", MappingProxyType(tables))
    patch.setattr(_claims, "_INSERT", _claims._INSERT.replace("ON CONFLICT (key) DO NOTHING", ""))


def control_statements_let_through(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_transaction, "control_in", lambda _: "")


def answer_stored_in_whatever_transaction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_claims, "_SETTLE", _claims._SETTLE.replace("AND pg_current_xact_id()::text = %(transaction)s", ""))


def no_run_after_a_conflict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Unit, "conflicts", lambda *_: False)


def conflict_on_the_claim_taken_for_a_fault(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_taking, "_attempt", _claims.take)


def connections_shared_with_forked_children(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PostgresStore, "renew_after_fork", lambda _: None)


def no_memory_of_what_was_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A new claim is not compared with what was let go."""
    patch.setattr(_claims, "_FORGOTTEN", "SELECT NULL, 1")


LATE = test_commit.test_a_lost_commit_that_lands_late_is_waited_for
OWN_LOCK_TIMEOUT = test_claim.test_lock_timeout_is_the_applications_own_while_the_handler_runs
WAITED = test_claim.test_a_duplicate_that_waited_in_another_process_gets_the_stored_answer
TRIED = test_commit.test_a_handler_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned
ENDED = test_commit.test_a_transaction_that_was_ended_behind_the_facade_is_500_and_never_remembered
FORGOTTEN = test_claim.test_a_claim_that_is_swept_while_its_duplicate_waits_is_known_as_forgotten

TWINS = [
    Twin(commit_believed_without_its_tag, test_commit.test_commit_counts_only_by_its_tag),
    Twin(plain_select_after_a_lost_commit, LATE),
    Twin(lock_timeout_not_put_back, OWN_LOCK_TIMEOUT),
    Twin(
        no_unique_claim,
        test_contract.test_postgres_keeps_the_contract_of_a_store,
        {"case": testing.of_many_concurrent_takers_one_is_granted},
    ),
    Twin(control_statements_let_through, TRIED, {"sql": "COMMIT"}),
    Twin(answer_stored_in_whatever_transaction, ENDED, {"control": ["COMMIT", "BEGIN"], "claims": 1}),
    Twin(no_run_after_a_conflict, test_conflicts.test_of_two_handlers_in_a_deadlock_one_runs_again),
    Twin(conflict_on_the_claim_taken_for_a_fault, WAITED, {"level": "serializable"}),
    Twin(connections_shared_with_forked_children, test_setup.test_a_forked_child_has_connections_of_its_own),
    Twin(no_memory_of_what_was_forgotten, FORGOTTEN, {"level": "read committed"}),
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
